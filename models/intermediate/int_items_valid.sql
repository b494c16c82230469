{{ config(materialized='view') }}

with

items as (

    select * from {{ ref('stg_items') }}

),

-- Of two states with one time the one delivered last.
ranked as (

    select
        *,
        row_number() over (
            partition by item_id, updated_at
            order by load_id desc, source_file desc, source_row desc
        ) as delivery_rank
    from items

),

valid as (

    select
        item_id,
        content_type,
        categories,
        published_at,
        title,
        updated_at as valid_from,
        coalesce(
            lead(updated_at) over (partition by item_id order by updated_at), timestamp '9999-12-31 00:00:00'
        ) as valid_until
    from ranked
    where delivery_rank = 1

)

select * from valid
