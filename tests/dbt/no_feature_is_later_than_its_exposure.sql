{%- set days = rebuilt_days() -%}
{%- set unsettled = unsettled_days() -%}
{%- set is_unsettled = rebuilt('events.day', unsettled, partitioned=false) -%}
{%- set trailing_days = var('trailing_days') | int -%}
{%- set numbers = [
    'user_exposures', 'user_clicks', 'user_trailing_exposures', 'user_trailing_clicks', 'user_click_rate',
    'user_days_known', 'item_exposures', 'item_clicks', 'item_trailing_exposures', 'item_trailing_clicks',
    'item_click_rate', 'item_days_known', 'user_mean_item_click_rate', 'user_category_exposures',
    'user_category_click_rate', 'user_category_click_surplus'
] -%}

-- Counts, rates and last clicks that differ from what lies strictly before the exposure, counted again the plain way
-- for 300 examples of the days that this run built again. They are whole days of some users, so that what came right
-- after an exposure is among them.
with

examples as (

    select * from {{ ref('examples') }}
    where {{ rebuilt('day', days) }} and {{ rebuilt('day', unsettled) }}

),

exposures as (

    select * from {{ ref('int_exposures_joined_to_items') }}
    where impressed and {{ rebuilt('day', unsettled, before=trailing_days) }}

),

clicks as (

    select * from {{ ref('int_engagements_deduplicated') }}
    where action = 'click' and {{ rebuilt('day', unsettled, before=trailing_days) }}

),

category_clicks as (

    select * from {{ ref('int_clicks_by_category') }}
    where {{ rebuilt('day', unsettled) }} and {{ rebuilt('served_day', unsettled, before=attribution_days()) }}

),

user_totals as (

    select * from {{ ref('int_user_totals') }}

),

item_totals as (

    select * from {{ ref('int_item_totals') }}

),

category_totals as (

    select * from {{ ref('int_user_category_totals') }}

),

looked_at as (

    select *
    from examples
    order by {{ draw("concat(user_id, '/', day)", 'recount-1') }} asc, event_id asc
    limit 300

),

asked as (

    select
        event_id,
        day,
        served_at,
        -- Whose history counts: its user's, its item's, and its user's on each category of the item.
        inline(concat(  -- noqa: AL03
            array(struct('user' as kind, user_id as key), struct('item' as kind, item_id as key)),
            transform(
                array_distinct(item_categories),
                category -> struct('category' as kind, concat(user_id, '/', category) as key)
            )
        ))
    from looked_at

),

category_exposures as (

    select
        user_id,
        day,
        served_at,
        {{ billionths('item_click_rate') }} as expected_clicks_e9,
        explode(array_distinct(item_categories)) as category
    from exposures
    where {{ rebuilt('day', unsettled) }}

),

events as (

    {% for kind in ['user', 'item'] -%}
        select
            '{{ kind }}' as kind,
            {{ kind }}_id as key,
            day,
            served_at as known_at,
            1 as exposures,
            {{ billionths('item_click_rate') }} as expected_clicks_e9,
            0 as clicks,
            cast(null as struct<engaged_at: timestamp, event_id: string, item_id: string>) as click
        from exposures

        union all

        select
            '{{ kind }}' as kind,
            {{ kind }}_id as key,
            day,
            engaged_at as known_at,
            0 as exposures,
            0 as expected_clicks_e9,
            1 as clicks,
            struct(engaged_at, event_id, item_id) as click
        from clicks

        union all

    {% endfor -%}
    select
        'category' as kind,
        concat(user_id, '/', category) as key,
        day,
        served_at as known_at,
        1 as exposures,
        expected_clicks_e9,
        0 as clicks,
        null as click
    from category_exposures

    union all

    select
        'category' as kind,
        concat(user_id, '/', category) as key,
        day,
        engaged_at as known_at,
        0 as exposures,
        0 as expected_clicks_e9,
        1 as clicks,
        null as click
    from category_clicks

),

settled as (

    select
        'user' as kind,
        user_id as key,
        exposures,
        expected_clicks_e9,
        clicks,
        first_seen_at,
        recent_clicks
    from user_totals

    union all

    select
        'item' as kind,
        item_id as key,
        exposures,
        0 as expected_clicks_e9,
        clicks,
        first_seen_at,
        array() as recent_clicks
    from item_totals

    union all

    select
        'category' as kind,
        concat(user_id, '/', category) as key,
        exposures,
        expected_clicks_e9,
        clicks,
        first_seen_at,
        array() as recent_clicks
    from category_totals

),

since_settled as (

    select
        asked.event_id,
        asked.kind,
        asked.key,
        asked.day,
        asked.served_at,
        coalesce(sum(events.exposures) filter (where {{ is_unsettled }}), 0) as exposures,
        coalesce(sum(events.clicks) filter (where {{ is_unsettled }}), 0) as clicks,
        coalesce(sum(events.expected_clicks_e9) filter (where {{ is_unsettled }}), 0) as expected_clicks_e9,
        min(events.known_at) filter (where {{ is_unsettled }}) as first_seen_at,
        collect_list(events.click) filter (where {{ is_unsettled }}) as recent_clicks,
        coalesce(
            sum(events.exposures) filter (where events.day >= date_sub(asked.day, {{ trailing_days }})), 0
        ) as trailing_exposures,
        coalesce(
            sum(events.clicks) filter (where events.day >= date_sub(asked.day, {{ trailing_days }})), 0
        ) as trailing_clicks
    from asked
    left join events
        on
            asked.kind = events.kind
            and asked.key = events.key
            and asked.served_at > events.known_at
    group by asked.event_id, asked.kind, asked.key, asked.day, asked.served_at

),

counted as (

    select
        since_settled.event_id,
        since_settled.kind,
        since_settled.day,
        since_settled.exposures + coalesce(settled.exposures, 0) as exposures,
        since_settled.clicks + coalesce(settled.clicks, 0) as clicks,
        (since_settled.expected_clicks_e9 + coalesce(settled.expected_clicks_e9, 0)) / 1e9 as expected_clicks,
        since_settled.trailing_exposures,
        since_settled.trailing_clicks,
        coalesce({{ days_between(
            'least(settled.first_seen_at, since_settled.first_seen_at)', 'since_settled.served_at'
        ) }}, 0.0) as days_known,
        concat(since_settled.recent_clicks, coalesce(settled.recent_clicks, array())) as recent_clicks
    from since_settled
    left join settled
        on
            since_settled.kind = settled.kind
            and since_settled.key = settled.key

),

totals_by_day as (

    select
        day,
        count(*) as exposures,
        0 as clicks
    from exposures
    where {{ rebuilt('day', unsettled) }}
    group by day

    union all

    select
        day,
        0 as exposures,
        count(*) as clicks
    from clicks
    where {{ rebuilt('day', unsettled) }}
    group by day

    union all

    select
        date '0001-01-01' as day,
        coalesce(sum(exposures), 0) as exposures,
        coalesce(sum(clicks), 0) as clicks
    from item_totals

),

days_looked_at as (

    select distinct day
    from looked_at

),

priors as (

    select
        days_looked_at.day,
        {{ smoothed_rate('sum(totals_by_day.clicks)', 'sum(totals_by_day.exposures)', var('click_rate_at_start')) }}
            as click_rate
    from days_looked_at
    inner join totals_by_day on days_looked_at.day > totals_by_day.day
    group by days_looked_at.day

),

rated as (

    select
        counted.*,
        {{ smoothed_rate('counted.clicks', 'counted.exposures', 'priors.click_rate') }} as click_rate,
        {{ smoothed_rate('counted.expected_clicks', 'counted.exposures', 'priors.click_rate') }}
            as mean_item_click_rate,
        {{ smoothed_rate('(counted.clicks - counted.expected_clicks)', 'counted.exposures', 0) }} as click_surplus
    from counted
    inner join priors on counted.day = priors.day

),

recounted as (

    select
        event_id,
        {% for kind in ['user', 'item'] -%}
            max(exposures) filter (where kind = '{{ kind }}') as {{ kind }}_exposures,
            max(clicks) filter (where kind = '{{ kind }}') as {{ kind }}_clicks,
            max(trailing_exposures) filter (where kind = '{{ kind }}') as {{ kind }}_trailing_exposures,
            max(trailing_clicks) filter (where kind = '{{ kind }}') as {{ kind }}_trailing_clicks,
            max(click_rate) filter (where kind = '{{ kind }}') as {{ kind }}_click_rate,
            max(days_known) filter (where kind = '{{ kind }}') as {{ kind }}_days_known,
        {% endfor -%}
        max(mean_item_click_rate) filter (where kind = 'user') as user_mean_item_click_rate,
        max(recent_clicks) filter (where kind = 'user') as recent_clicks,
        coalesce(avg(exposures) filter (where kind = 'category'), 0) as user_category_exposures,
        coalesce(avg(click_surplus) filter (where kind = 'category'), 0) as user_category_click_surplus,
        coalesce(avg(click_rate) filter (where kind = 'category'), max(click_rate) filter (where kind = 'user'))
            as user_category_click_rate
    from rated
    group by event_id

),

differing as (

    select
        looked_at.event_id,
        concat_ws(
            ', ',
            {% for feature in numbers -%}
                if(abs(looked_at.{{ feature }} - recounted.{{ feature }}) <= 1e-8, null, '{{ feature }}'),
            {% endfor -%}
            if(
                looked_at.user_recent_items <=> transform(
                    slice(sort_array(recounted.recent_clicks, false), 1, {{ var('recent_clicks') }}),
                    click -> click.item_id
                ),
                null,
                'user_recent_items'
            )
        ) as features
    from looked_at
    inner join recounted on looked_at.event_id = recounted.event_id

)

select * from differing
where features != ''
