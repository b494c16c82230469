with

engagements as (

    select * from {{ source('raw', 'engagements') }}

),

typed as (

    select
        event_id,
        request_id,
        user_id,
        item_id,
        action,
        value,
        engaged_at,
        served_at,
        position,
        traffic,
        surface,
        release_id,
        logging_probability,
        try_cast(get_json_object(features, '$.affinity') as double) as logged_affinity,
        features,
        load_id,
        source_file,
        source_row
    from engagements

)

select * from typed
