with

exposures as (

    select * from {{ ref('int_exposures_deduplicated') }}

),

engagements as (

    select * from {{ ref('int_engagements_deduplicated') }}

),

items as (

    select * from {{ ref('int_exposures_joined_to_items') }}

),

users as (

    select * from {{ ref('stg_users') }}

),

click_rates as (

    select * from {{ ref('int_click_rate_before_day') }}

),

-- Everything that ever became known of a user, in one line of time: one window then answers what was known when.
history as (

    select
        exposures.user_id,
        exposures.served_at as known_at,
        exposures.event_id,
        if(exposures.impressed, 1, 0) as exposures,
        if(exposures.impressed, items.item_click_rate, 0.0) as expected_clicks,
        0 as clicks,
        null as state
    from exposures
    inner join items on exposures.event_id = items.event_id

    union all

    select
        user_id,
        engaged_at as known_at,
        null as event_id,
        0 as exposures,
        0.0 as expected_clicks,
        1 as clicks,
        null as state
    from engagements
    where action = 'click'

    union all

    select
        user_id,
        updated_at as known_at,
        null as event_id,
        0 as exposures,
        0.0 as expected_clicks,
        0 as clicks,
        -- Compared field by field: the latest state wins, and of two with one time the one delivered last.
        struct(updated_at, load_id, source_file, source_row, segment, country, gender, age) as state
    from users

),

known as (

    select
        event_id,
        user_id,
        known_at as served_at,
        coalesce(sum(exposures) over strictly_before, 0) as user_exposures,
        coalesce(sum(expected_clicks) over strictly_before, 0.0) as user_expected_clicks,
        coalesce(sum(clicks) over strictly_before, 0) as user_clicks,
        min(if(exposures + clicks > 0, known_at, null)) over strictly_before as user_first_seen_at,
        max(known_at) over strictly_before as user_known_at,
        max(state) over strictly_before as state
    from history
    window
        strictly_before as (
            partition by user_id
            order by unix_micros(known_at)
            range between unbounded preceding and 1 preceding
        )

),

joined as (

    select
        known.event_id,
        known.user_id,
        known.served_at,
        known.user_known_at,
        known.user_exposures,
        known.user_clicks,
        {{ smoothed_rate('known.user_clicks', 'known.user_exposures', 'click_rates.click_rate') }} as user_click_rate,
        -- How good what the user was shown promised to be: it tells a keen user from one who is shown the best.
        {{ smoothed_rate('known.user_expected_clicks', 'known.user_exposures', 'click_rates.click_rate') }}
            as user_mean_item_click_rate,
        coalesce({{ days_between('known.user_first_seen_at', 'known.served_at') }}, 0.0) as user_days_known,
        coalesce(known.state.segment, 'unknown') as user_segment,
        coalesce(known.state.country, 'unknown') as country,
        coalesce(known.state.gender, 'unknown') as gender,
        known.state.age as user_age
    from known
    inner join click_rates on to_date(known.served_at) = click_rates.day
    where known.event_id is not null

)

select * from joined
