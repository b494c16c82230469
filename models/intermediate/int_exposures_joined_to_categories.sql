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

click_rates as (

    select * from {{ ref('int_click_rate_before_day') }}

),

categories as (

    select
        exposures.event_id,
        exposures.user_id,
        exposures.served_at,
        exposures.request_id,
        exposures.item_id,
        exposures.impressed,
        items.item_click_rate,
        explode(array_distinct(items.item_categories)) as category
    from exposures
    inner join items on exposures.event_id = items.event_id

),

history as (

    select
        user_id,
        category,
        served_at as known_at,
        event_id,
        if(impressed, 1, 0) as exposures,
        if(impressed, item_click_rate, 0.0) as expected_clicks,
        0 as clicks
    from categories

    union all

    select
        categories.user_id,
        categories.category,
        engagements.engaged_at as known_at,
        null as event_id,
        0 as exposures,
        0.0 as expected_clicks,
        1 as clicks
    from categories
    inner join engagements
        on
            categories.request_id = engagements.request_id
            and categories.item_id = engagements.item_id
    where engagements.action = 'click'

),

known as (

    select
        event_id,
        known_at as served_at,
        coalesce(sum(exposures) over strictly_before, 0) as exposures,
        coalesce(sum(expected_clicks) over strictly_before, 0.0) as expected_clicks,
        coalesce(sum(clicks) over strictly_before, 0) as clicks
    from history
    window
        strictly_before as (
            partition by user_id, category
            order by unix_micros(known_at)
            range between unbounded preceding and 1 preceding
        )

),

joined as (

    select
        known.event_id,
        avg(known.exposures) as user_category_exposures,
        avg({{ smoothed_rate('known.clicks', 'known.exposures', 'click_rates.click_rate') }})
            as user_category_click_rate,
        -- Clicks beyond what the items' own rates promised at the time.
        avg({{ smoothed_rate('(known.clicks - known.expected_clicks)', 'known.exposures', 0) }})
            as user_category_click_surplus
    from known
    inner join click_rates on to_date(known.served_at) = click_rates.day
    where known.event_id is not null
    group by known.event_id

)

select * from joined
