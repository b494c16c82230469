with

users as (

    select * from {{ source('raw', 'users') }}

),

typed as (

    select
        user_id,
        updated_at,
        get_json_object(attributes, '$.segment') as segment,
        get_json_object(attributes, '$.country') as country,
        get_json_object(attributes, '$.gender') as gender,
        try_cast(get_json_object(attributes, '$.age') as double) as age,
        load_id,
        source_file,
        source_row
    from users

)

select * from typed
