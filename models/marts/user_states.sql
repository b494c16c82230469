{{ config(incremental_predicates=['true'], partition_by=none) }}

with

build as (

    select cast(date_add(max(day), 1) as timestamp) as as_of from {{ ref('int_click_rate_before_day') }}

),

totals as (

    select * from {{ ref('int_user_totals') }}

),

category_totals as (

    select * from {{ ref('int_user_category_totals') }}

),

user_days as (

    select * from {{ ref('int_users_by_day') }}

),

category_days as (

    select * from {{ ref('int_user_categories_by_day') }}

),

users as (

    select * from {{ ref('int_users_valid') }}

),

events as (

    select
        user_id,
        exposures,
        expected_clicks_e9,
        clicks,
        first_seen_at,
        recent_clicks
    from totals

    union all

    select
        user_id,
        exposures,
        expected_clicks_e9,
        clicks,
        first_seen_at,
        recent_clicks
    from user_days
    where day > coalesce((select max(totals.through_day) from totals), date '0001-01-01')

),

counted as (

    select
        user_id,
        sum(exposures) as exposures,
        sum(expected_clicks_e9) as expected_clicks_e9,
        sum(clicks) as clicks,
        min(first_seen_at) as first_seen_at,
        {{ latest_clicks('array_sort(flatten(collect_list(recent_clicks)))') }} as recent_clicks
    from events
    group by user_id

),

lately as (

    select
        user_id,
        sum(exposures) as exposures,
        sum(clicks) as clicks
    from user_days
    where day >= (select date_sub(build.as_of, {{ var('trailing_days') }}) from build)
    group by user_id

),

category_events as (

    select
        user_id,
        category,
        exposures,
        expected_clicks_e9,
        clicks
    from category_totals

    union all

    select
        user_id,
        category,
        exposures,
        expected_clicks_e9,
        clicks
    from category_days
    where day > coalesce((select max(category_totals.through_day) from category_totals), date '0001-01-01')

),

categories_counted as (

    select
        user_id,
        category,
        sum(exposures) as exposures,
        sum(expected_clicks_e9) as expected_clicks_e9,
        sum(clicks) as clicks
    from category_events
    group by user_id, category

),

categories as (

    select
        user_id,
        array_sort(collect_list(struct(category, exposures, expected_clicks_e9, clicks))) as categories
    from categories_counted
    group by user_id

),

known as (

    select users.*
    from users
    cross join build
    where users.valid_from < build.as_of and users.valid_until >= build.as_of

),

states as (

    select
        build.as_of,
        coalesce(counted.user_id, known.user_id) as user_id,
        coalesce(counted.exposures, 0) as exposures,
        coalesce(counted.expected_clicks_e9, 0) as expected_clicks_e9,
        coalesce(counted.clicks, 0) as clicks,
        coalesce(lately.exposures, 0) as trailing_exposures,
        coalesce(lately.clicks, 0) as trailing_clicks,
        counted.first_seen_at,
        coalesce(reverse(transform(counted.recent_clicks, click -> click.item_id)), array()) as recent_items,
        coalesce(categories.categories, array()) as categories,
        known.segment,
        known.country,
        known.gender,
        known.age
    from counted
    full outer join known on counted.user_id = known.user_id
    left join lately on counted.user_id = lately.user_id
    left join categories on counted.user_id = categories.user_id
    cross join build

)

select * from states
