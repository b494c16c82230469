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
        load_id,
        source_file,
        source_row
    from engagements

)

select * from typed
