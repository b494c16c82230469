{%- set days = days_of_build() %}

with

exposures as (

    select * from {{ ref('int_exposures_by_category') }}
    where {{ rebuilt('day', days) }}

),

clicks as (

    select * from {{ ref('int_clicks_by_category') }}
    where {{ rebuilt('day', days) }} and {{ rebuilt('served_day', days, before=attribution_days()) }}

),

click_rates as (

    select * from {{ ref('int_click_rate_before_day') }}
    where {{ rebuilt('day', days, partitioned=false) }}

),

known_before_day as (

    {{ known_before_day(
        ref('int_user_categories_by_day'), ref('int_user_category_totals'),
        keys=['user_id', 'category'], sums=['exposures', 'expected_clicks_e9', 'clicks'], days=days
    ) }}

),

events as (

    select
        event_id,
        user_id,
        category,
        day,
        served_at as known_at,
        exposures,
        expected_clicks_e9,
        0 as clicks
    from exposures

    union all

    select
        cast(null as string) as event_id,
        user_id,
        category,
        day,
        engaged_at as known_at,
        0 as exposures,
        0 as expected_clicks_e9,
        1 as clicks
    from clicks

),

today as (

    select
        event_id,
        user_id,
        category,
        day,
        coalesce(sum(exposures) over strictly_before, 0) as exposures,
        coalesce(sum(expected_clicks_e9) over strictly_before, 0) as expected_clicks_e9,
        coalesce(sum(clicks) over strictly_before, 0) as clicks
    from events
    window
        strictly_before as (
            partition by user_id, category, day
            order by unix_micros(known_at)
            range between unbounded preceding and 1 preceding
        )

),

counted as (

    select
        today.event_id,
        today.day,
        known_before_day.exposures + today.exposures as exposures,
        (known_before_day.expected_clicks_e9 + today.expected_clicks_e9) / 1e9 as expected_clicks,
        known_before_day.clicks + today.clicks as clicks
    from today
    inner join known_before_day
        on
            today.user_id = known_before_day.user_id
            and today.category = known_before_day.category
            and today.day = known_before_day.day
    where today.event_id is not null

),

joined as (

    select
        counted.event_id,
        counted.day,
        avg(counted.exposures) as user_category_exposures,
        avg({{ billionths(smoothed_rate('counted.clicks', 'counted.exposures', 'click_rates.click_rate')) }}) / 1e9
            as user_category_click_rate,
        -- Clicks beyond what the items' own rates promised at the time.
        avg({{ billionths(smoothed_rate('(counted.clicks - counted.expected_clicks)', 'counted.exposures', 0)) }}) / 1e9
            as user_category_click_surplus
    from counted
    inner join click_rates on counted.day = click_rates.day
    group by counted.event_id, counted.day

)

select {{ files_by_day(days) }} * from joined
