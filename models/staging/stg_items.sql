with

items as (

    select * from {{ source('raw', 'items') }}

),

typed as (

    select
        item_id,
        updated_at,
        get_json_object(attributes, '$.content_type') as content_type,
        from_json(get_json_object(attributes, '$.categories'), 'array<string>') as categories,
        try_cast(get_json_object(attributes, '$.published_at') as timestamp) as published_at,
        get_json_object(attributes, '$.title') as title,
        load_id,
        source_file,
        source_row
    from items

)

select * from typed
