{%- set days = days_of_build() %}

with

events as (

    select
        day,
        item_id,
        served_at as happened_at,
        if(impressed, 1, 0) as exposures,
        0 as clicks
    from {{ ref('int_exposures_deduplicated') }}
    where {{ rebuilt('day', days) }}

    union all

    select
        day,
        item_id,
        engaged_at as happened_at,
        0 as exposures,
        1 as clicks
    from {{ ref('int_engagements_deduplicated') }}
    where action = 'click' and {{ rebuilt('day', days) }}

),

days as (

    select
        day,
        item_id,
        sum(exposures) as exposures,
        sum(clicks) as clicks,
        min(if(exposures + clicks > 0, happened_at, null)) as first_seen_at,
        max(if(exposures + clicks > 0, happened_at, null)) as last_seen_at
    from events
    group by day, item_id

)

select {{ files_by_day(days) }} * from days
