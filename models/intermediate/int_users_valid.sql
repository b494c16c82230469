{{ config(materialized='view') }}

with

users as (

    select * from {{ ref('stg_users') }}

),

-- Of two states with one time the one delivered last.
ranked as (

    select
        *,
        row_number() over (
            partition by user_id, updated_at
            order by load_id desc, source_file desc, source_row desc
        ) as delivery_rank
    from users

),

valid as (

    select
        user_id,
        segment,
        country,
        gender,
        age,
        updated_at as valid_from,
        coalesce(
            lead(updated_at) over (partition by user_id order by updated_at), timestamp '9999-12-31 00:00:00'
        ) as valid_until
    from ranked
    where delivery_rank = 1

)

select * from valid
