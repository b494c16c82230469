{%- set days = days_of_build() %}

with

events as (

    select
        day,
        user_id,
        category,
        served_at as happened_at,
        exposures,
        expected_clicks_e9,
        0 as clicks
    from {{ ref('int_exposures_by_category') }}
    where {{ rebuilt('day', days) }}

    union all

    select
        day,
        user_id,
        category,
        engaged_at as happened_at,
        0 as exposures,
        0 as expected_clicks_e9,
        1 as clicks
    from {{ ref('int_clicks_by_category') }}
    where {{ rebuilt('day', days) }} and {{ rebuilt('served_day', days, before=attribution_days()) }}

),

days as (

    select
        day,
        user_id,
        category,
        sum(exposures) as exposures,
        sum(expected_clicks_e9) as expected_clicks_e9,
        sum(clicks) as clicks,
        min(if(exposures + clicks > 0, happened_at, null)) as first_seen_at,
        max(if(exposures + clicks > 0, happened_at, null)) as last_seen_at
    from events
    group by day, user_id, category

)

select {{ files_by_day(days) }} * from days
