{{ config(materialized='view') }}

with

categories as (

    select * from {{ ref('int_exposures_by_category') }}

),

engagements as (

    select * from {{ ref('int_engagements_deduplicated') }}
    where action = 'click'

),

clicks as (

    select
        categories.user_id,
        categories.category,
        categories.day as served_day,
        engagements.day,
        engagements.engaged_at
    from engagements
    inner join categories
        on
            engagements.request_id = categories.request_id
            and engagements.item_id = categories.item_id
    -- A click long after its exposure says little of it, and would make every day depend on all days before.
    where categories.day between date_sub(engagements.day, {{ attribution_days() }}) and engagements.day

)

select * from clicks
