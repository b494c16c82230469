with

exposures as (

    select * from {{ ref('int_exposures_deduplicated') }}

),

engagements as (

    select * from {{ ref('int_engagements_deduplicated') }}

),

items as (

    select * from {{ ref('stg_items') }}

),

click_rates as (

    select * from {{ ref('int_click_rate_before_day') }}

),

-- Everything that ever became known of an item, in one line of time: one window then answers what was known when.
history as (

    select
        item_id,
        served_at as known_at,
        event_id,
        if(impressed, 1, 0) as exposures,
        0 as clicks,
        null as state
    from exposures

    union all

    select
        item_id,
        engaged_at as known_at,
        null as event_id,
        0 as exposures,
        1 as clicks,
        null as state
    from engagements
    where action = 'click'

    union all

    select
        item_id,
        updated_at as known_at,
        null as event_id,
        0 as exposures,
        0 as clicks,
        -- Compared field by field: the latest state wins, and of two with one time the one delivered last.
        struct(updated_at, load_id, source_file, source_row, content_type, categories, published_at) as state
    from items

),

known as (

    select
        event_id,
        item_id,
        known_at as served_at,
        coalesce(sum(exposures) over strictly_before, 0) as item_exposures,
        coalesce(sum(clicks) over strictly_before, 0) as item_clicks,
        min(if(exposures + clicks > 0, known_at, null)) over strictly_before as item_first_seen_at,
        max(known_at) over strictly_before as item_known_at,
        max(state) over strictly_before as state
    from history
    window
        strictly_before as (
            partition by item_id
            order by unix_micros(known_at)
            range between unbounded preceding and 1 preceding
        )

),

joined as (

    select
        known.event_id,
        known.item_id,
        known.served_at,
        known.item_known_at,
        known.item_exposures,
        known.item_clicks,
        {{ smoothed_rate('known.item_clicks', 'known.item_exposures', 'click_rates.click_rate') }} as item_click_rate,
        coalesce({{ days_between('known.item_first_seen_at', 'known.served_at') }}, 0.0) as item_days_known,
        coalesce(known.state.content_type, 'unknown') as content_type,
        coalesce(known.state.categories, array()) as item_categories,
        {{ days_between('known.state.published_at', 'known.served_at') }} as item_age_days
    from known
    inner join click_rates on to_date(known.served_at) = click_rates.day
    where known.event_id is not null

)

select * from joined
