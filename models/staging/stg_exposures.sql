with

exposures as (

    select * from {{ source('raw', 'exposures') }}

),

typed as (

    select
        event_id,
        request_id,
        user_id,
        item_id,
        position,
        surface,
        served_at,
        impressed,
        traffic,
        release_id,
        propensity,
        logging_probability,
        logging_draw,
        score,
        try_cast(get_json_object(features, '$.affinity') as double) as logged_affinity,
        features,
        features_as_of,
        load_id,
        source_file,
        source_row
    from exposures

)

select * from typed
