{{ config(incremental_predicates=['true'], partition_by=none) }}

with

build as (

    select cast(date_add(max(day), 1) as timestamp) as as_of from {{ ref('int_click_rate_before_day') }}

),

totals as (

    select * from {{ ref('int_item_totals') }}

),

item_days as (

    select * from {{ ref('int_items_by_day') }}

),

items as (

    select * from {{ ref('int_items_valid') }}

),

events as (

    select
        item_id,
        exposures,
        clicks,
        first_seen_at
    from totals

    union all

    select
        item_id,
        exposures,
        clicks,
        first_seen_at
    from item_days
    where day > coalesce((select max(totals.through_day) from totals), date '0001-01-01')

),

counted as (

    select
        item_id,
        sum(exposures) as exposures,
        sum(clicks) as clicks,
        min(first_seen_at) as first_seen_at
    from events
    group by item_id

),

lately as (

    select
        item_id,
        sum(exposures) as exposures,
        sum(clicks) as clicks
    from item_days
    where day >= (select date_sub(build.as_of, {{ var('trailing_days') }}) from build)
    group by item_id

),

known as (

    select items.*
    from items
    cross join build
    where items.valid_from < build.as_of and items.valid_until >= build.as_of

),

states as (

    select
        build.as_of,
        coalesce(counted.item_id, known.item_id) as item_id,
        coalesce(counted.exposures, 0) as exposures,
        coalesce(counted.clicks, 0) as clicks,
        coalesce(lately.exposures, 0) as trailing_exposures,
        coalesce(lately.clicks, 0) as trailing_clicks,
        counted.first_seen_at,
        known.content_type,
        coalesce(known.categories, array()) as categories,
        known.published_at
    from counted
    full outer join known on counted.item_id = known.item_id
    left join lately on counted.item_id = lately.item_id
    cross join build

)

select * from states
