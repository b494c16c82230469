{%- set days = days_of_build() %}

with

examples as (

    select * from {{ ref('examples') }}
    where {{ rebuilt('day', days) }}

),

random_slice as (

    select * from {{ ref('random_slice') }}
    where {{ rebuilt('day', days) }}

),

requests as (

    select
        day,
        request_id,
        count(*) as examples,
        count(distinct item_id) as items,
        count(distinct position) as places,
        min(position) as first_place
    from examples
    group by day, request_id

),

slates as (

    select
        day,
        count(*) as requests,
        count_if(first_place = 1) as first_places,
        sum(examples - items) as repeated_items,
        sum(examples - places) as repeated_places
    from requests
    group by day

),

users as (

    select
        day,
        user_id,
        count(*) as examples
    from examples
    group by day, user_id

),

busiest as (

    select
        day,
        count(*) as users,
        max(examples) as most_of_a_user
    from users
    group by day

),

rows_of_day as (

    select
        day,
        count(*) as examples,
        approx_count_distinct(item_id) as items,
        count(distinct hour_of_day) as hours,
        count_if(user_exposures = 0) as of_new_users,
        count_if(item_exposures = 0) as of_new_items,
        -- Sums of doubles differ in their last digits with the order in which a cluster adds.
        round(avg(draw), 9) as mean_draw
    from examples
    group by day

),

places as (

    select
        day,
        request_id,
        impressed,
        propensity,
        user_slice,
        score,
        item_click_rate,
        -- Those that were not placed share the places behind.
        if(
            impressed and position is not null,
            double(position),
            (
                count_if(impressed) over (partition by day, request_id) + 1
                + count(*) over (partition by day, request_id)
            ) / 2
        ) as place
    from random_slice

),

random_requests as (

    select
        day,
        request_id,
        count(*) as candidates,
        count_if(impressed) as examples,
        count_if(propensity is null) as without_propensity,
        coalesce(sum(propensity), 0) as propensity_sum,
        min(propensity) as smallest_propensity,
        max(propensity) as largest_propensity,
        count_if(user_slice = 'calibrate') as calibrate,
        count_if(user_slice = 'evaluate') as evaluate,
        {{ alignment_parts('score') }},
        {{ alignment_parts('item_click_rate') }}
    from places
    group by day, request_id

),

random_of_day as (

    select
        day,
        count(*) as random_requests,
        sum(candidates) as random_candidates,
        sum(examples) as random_examples,
        sum(without_propensity) as without_propensity,
        round(avg(propensity_sum), 9) as propensity_sum,
        min(smallest_propensity) as smallest_propensity,
        max(largest_propensity) as largest_propensity,
        sum(calibrate) / sum(candidates) as calibrate_share,
        sum(evaluate) / sum(candidates) as evaluate_share,
        {{ alignment('score') }} as score_alignment,
        {{ alignment('item_click_rate') }} as click_rate_alignment
    from random_requests
    group by day

),

days as (

    select
        rows_of_day.day,
        rows_of_day.examples,
        slates.requests,
        busiest.users,
        rows_of_day.items,
        rows_of_day.hours,
        slates.first_places,
        slates.repeated_items,
        slates.repeated_places,
        busiest.most_of_a_user,
        rows_of_day.of_new_users,
        rows_of_day.of_new_items,
        rows_of_day.mean_draw,
        random_of_day.random_requests,
        random_of_day.random_candidates,
        random_of_day.random_examples,
        random_of_day.without_propensity,
        random_of_day.propensity_sum,
        random_of_day.smallest_propensity,
        random_of_day.largest_propensity,
        random_of_day.calibrate_share,
        random_of_day.evaluate_share,
        random_of_day.score_alignment,
        random_of_day.click_rate_alignment
    from rows_of_day
    inner join slates on rows_of_day.day = slates.day
    inner join busiest on rows_of_day.day = busiest.day
    left join random_of_day on rows_of_day.day = random_of_day.day

)

select {{ files_by_day(days) }} * from days
