{%- set days = days_of_build() %}

with

exposures as (

    select * from {{ ref('int_exposures_joined_to_items') }}
    where {{ rebuilt('day', days) }}

),

clicks as (

    select
        *,
        collect_list(struct(engaged_at, event_id, item_id)) over (
            partition by user_id, day
            order by engaged_at asc, event_id asc
            rows between {{ var('recent_clicks') | int }} preceding and current row
        ) as recent_clicks
    from {{ ref('int_engagements_deduplicated') }}
    where action = 'click' and {{ rebuilt('day', days) }}

),

users as (

    select * from {{ ref('int_users_valid') }}

),

click_rates as (

    select * from {{ ref('int_click_rate_before_day') }}
    where {{ rebuilt('day', days, partitioned=false) }}

),

known_before_day as (

    {{ known_before_day(
        ref('int_users_by_day'), ref('int_user_totals'),
        keys=['user_id'], sums=['exposures', 'expected_clicks_e9', 'clicks'], days=days
    ) }}

),

clicks_through_day as (

    select
        day,
        user_id,
        if(
            size(recent_clicks) > 0,
            flatten(collect_list(recent_clicks) over (
                partition by user_id, size(recent_clicks) > 0
                order by day
                rows between {{ var('recent_clicks') | int }} preceding and current row
            )),
            null
        ) as recent_clicks
    from {{ ref('int_users_by_day') }}
    where {{ rebuilt('day', days) }}

),

clicks_before_day as (

    select
        day,
        user_id,
        last(recent_clicks, true) over (
            partition by user_id
            order by day
            rows between unbounded preceding and 1 preceding
        ) as recent_clicks
    from clicks_through_day

),

settled as (

    select
        user_id,
        recent_clicks
    from {{ ref('int_user_totals') }}
    {{ 'where false' if days['first_day'] is none }}

),

-- What happened to a user on a day, in one line of time: one window then answers what was known when.
events as (

    select
        event_id,
        user_id,
        day,
        served_at as known_at,
        if(impressed, 1, 0) as exposures,
        if(impressed, {{ billionths('item_click_rate') }}, 0) as expected_clicks_e9,
        0 as clicks,
        null as recent_clicks
    from exposures

    union all

    select
        cast(null as string) as event_id,
        user_id,
        day,
        engaged_at as known_at,
        0 as exposures,
        0 as expected_clicks_e9,
        1 as clicks,
        recent_clicks
    from clicks

),

today as (

    select
        event_id,
        user_id,
        day,
        known_at as served_at,
        coalesce(sum(exposures) over strictly_before, 0) as exposures,
        coalesce(sum(expected_clicks_e9) over strictly_before, 0) as expected_clicks_e9,
        coalesce(sum(clicks) over strictly_before, 0) as clicks,
        min(if(exposures + clicks > 0, known_at, null)) over strictly_before as first_seen_at,
        max(if(exposures + clicks > 0, known_at, null)) over strictly_before as last_seen_at,
        last(recent_clicks, true) over strictly_before as recent_clicks
    from events
    window
        strictly_before as (
            partition by user_id, day
            order by unix_micros(known_at)
            range between unbounded preceding and 1 preceding
        )

),

counted as (

    select
        today.event_id,
        today.user_id,
        today.day,
        today.served_at,
        known_before_day.exposures + today.exposures as user_exposures,
        (known_before_day.expected_clicks_e9 + today.expected_clicks_e9) / 1e9 as user_expected_clicks,
        known_before_day.clicks + today.clicks as user_clicks,
        known_before_day.trailing_exposures + today.exposures as user_trailing_exposures,
        known_before_day.trailing_clicks + today.clicks as user_trailing_clicks,
        least(known_before_day.first_seen_at, today.first_seen_at) as user_first_seen_at,
        greatest(known_before_day.last_seen_at, today.last_seen_at) as user_last_seen_at,
        concat(
            coalesce(settled.recent_clicks, array()),
            coalesce(clicks_before_day.recent_clicks, array()),
            coalesce(today.recent_clicks, array())
        ) as recent_clicks,
        click_rates.click_rate
    from today
    inner join known_before_day on today.user_id = known_before_day.user_id and today.day = known_before_day.day
    inner join clicks_before_day on today.user_id = clicks_before_day.user_id and today.day = clicks_before_day.day
    inner join click_rates on today.day = click_rates.day
    left join settled on today.user_id = settled.user_id
    where today.event_id is not null

),

joined as (

    select
        counted.event_id,
        counted.user_id,
        counted.day,
        counted.served_at,
        greatest(counted.user_last_seen_at, users.valid_from) as user_known_at,
        counted.user_exposures,
        counted.user_clicks,
        counted.user_trailing_exposures,
        counted.user_trailing_clicks,
        {{ smoothed_rate('counted.user_clicks', 'counted.user_exposures', 'counted.click_rate') }} as user_click_rate,
        -- How good what the user was shown promised to be: it tells a keen user from one who is shown the best.
        {{ smoothed_rate('counted.user_expected_clicks', 'counted.user_exposures', 'counted.click_rate') }}
            as user_mean_item_click_rate,
        coalesce({{ days_between('counted.user_first_seen_at', 'counted.served_at') }}, 0.0) as user_days_known,
        reverse(transform({{ latest_clicks('counted.recent_clicks') }}, click -> click.item_id)) as user_recent_items,
        coalesce(users.segment, 'unknown') as user_segment,
        coalesce(users.country, 'unknown') as country,
        coalesce(users.gender, 'unknown') as gender,
        users.age as user_age
    from counted
    left join users
        on
            counted.user_id = users.user_id
            and counted.served_at > users.valid_from
            and counted.served_at <= users.valid_until

)

select {{ files_by_day(days) }} * from joined
