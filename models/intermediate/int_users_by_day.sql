{%- set days = days_of_build() %}

with

events as (

    select
        day,
        user_id,
        served_at as happened_at,
        if(impressed, 1, 0) as exposures,
        if(impressed, {{ billionths('item_click_rate') }}, 0) as expected_clicks_e9,
        0 as clicks,
        cast(null as struct<engaged_at: timestamp, event_id: string, item_id: string>) as click
    from {{ ref('int_exposures_joined_to_items') }}
    where {{ rebuilt('day', days) }}

    union all

    select
        day,
        user_id,
        engaged_at as happened_at,
        0 as exposures,
        0 as expected_clicks_e9,
        1 as clicks,
        struct(engaged_at, event_id, item_id) as click
    from {{ ref('int_engagements_deduplicated') }}
    where action = 'click' and {{ rebuilt('day', days) }}

),

days as (

    select
        day,
        user_id,
        sum(exposures) as exposures,
        sum(expected_clicks_e9) as expected_clicks_e9,
        sum(clicks) as clicks,
        min(if(exposures + clicks > 0, happened_at, null)) as first_seen_at,
        max(if(exposures + clicks > 0, happened_at, null)) as last_seen_at,
        {{ latest_clicks('array_sort(collect_list(click))') }} as recent_clicks
    from events
    group by day, user_id

)

select {{ files_by_day(days) }} * from days
