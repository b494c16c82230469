{%- set days = days_of_build() %}

with

exposures as (

    select * from {{ ref('int_exposures_deduplicated') }}
    where {{ rebuilt('day', days) }}

),

clicks as (

    select * from {{ ref('int_engagements_deduplicated') }}
    where action = 'click' and {{ rebuilt('day', days) }}

),

items as (

    select * from {{ ref('int_items_valid') }}

),

click_rates as (

    select * from {{ ref('int_click_rate_before_day') }}
    where {{ rebuilt('day', days, partitioned=false) }}

),

known_before_day as (

    {{ known_before_day(
        ref('int_items_by_day'), ref('int_item_totals'), keys=['item_id'], sums=['exposures', 'clicks'], days=days
    ) }}

),

-- What happened to an item on a day, in one line of time: one window then answers what was known when.
events as (

    select
        event_id,
        request_id,
        user_id,
        item_id,
        day,
        served_at as known_at,
        impressed,
        if(impressed, 1, 0) as exposures,
        0 as clicks
    from exposures

    union all

    select
        cast(null as string) as event_id,
        request_id,
        user_id,
        item_id,
        day,
        engaged_at as known_at,
        false as impressed,
        0 as exposures,
        1 as clicks
    from clicks

),

today as (

    select
        event_id,
        request_id,
        user_id,
        item_id,
        day,
        known_at as served_at,
        impressed,
        coalesce(sum(exposures) over strictly_before, 0) as exposures,
        coalesce(sum(clicks) over strictly_before, 0) as clicks,
        min(if(exposures + clicks > 0, known_at, null)) over strictly_before as first_seen_at,
        max(if(exposures + clicks > 0, known_at, null)) over strictly_before as last_seen_at
    from events
    window
        strictly_before as (
            partition by item_id, day
            order by unix_micros(known_at)
            range between unbounded preceding and 1 preceding
        )

),

counted as (

    select
        today.event_id,
        today.request_id,
        today.user_id,
        today.item_id,
        today.day,
        today.served_at,
        today.impressed,
        known_before_day.exposures + today.exposures as item_exposures,
        known_before_day.clicks + today.clicks as item_clicks,
        known_before_day.trailing_exposures + today.exposures as item_trailing_exposures,
        known_before_day.trailing_clicks + today.clicks as item_trailing_clicks,
        least(known_before_day.first_seen_at, today.first_seen_at) as item_first_seen_at,
        greatest(known_before_day.last_seen_at, today.last_seen_at) as item_last_seen_at,
        click_rates.click_rate
    from today
    inner join known_before_day on today.item_id = known_before_day.item_id and today.day = known_before_day.day
    inner join click_rates on today.day = click_rates.day
    where today.event_id is not null

),

joined as (

    select
        counted.event_id,
        counted.request_id,
        counted.user_id,
        counted.item_id,
        counted.day,
        counted.served_at,
        counted.impressed,
        greatest(counted.item_last_seen_at, items.valid_from) as item_known_at,
        counted.item_exposures,
        counted.item_clicks,
        counted.item_trailing_exposures,
        counted.item_trailing_clicks,
        {{ smoothed_rate('counted.item_clicks', 'counted.item_exposures', 'counted.click_rate') }} as item_click_rate,
        coalesce({{ days_between('counted.item_first_seen_at', 'counted.served_at') }}, 0.0) as item_days_known,
        coalesce(items.content_type, 'unknown') as content_type,
        coalesce(items.categories, array()) as item_categories,
        {{ days_between('items.published_at', 'counted.served_at') }} as item_age_days
    from counted
    left join items
        on
            counted.item_id = items.item_id
            and counted.served_at > items.valid_from
            and counted.served_at <= items.valid_until

)

select {{ files_by_day(days) }} * from joined
