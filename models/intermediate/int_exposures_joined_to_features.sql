{{ config(materialized='view') }}

with

exposures as (

    select * from {{ ref('int_exposures_labelled') }}

),

users as (

    select * from {{ ref('int_exposures_joined_to_users') }}

),

items as (

    select * from {{ ref('int_exposures_joined_to_items') }}

),

categories as (

    select * from {{ ref('int_exposures_joined_to_categories') }}

),

joined as (

    select
        exposures.*,
        {{ draw('exposures.event_id', var('sampling_salt')) }} as draw,
        {{ user_slice('exposures.user_id') }} as user_slice,
        users.user_segment,
        users.country,
        users.gender,
        items.content_type,
        hour(exposures.served_at) as hour_of_day,
        items.item_categories,
        users.user_age,
        items.item_age_days,
        cast(users.user_exposures as double) as user_exposures,
        cast(users.user_clicks as double) as user_clicks,
        users.user_click_rate,
        users.user_days_known,
        cast(items.item_exposures as double) as item_exposures,
        cast(items.item_clicks as double) as item_clicks,
        items.item_click_rate,
        items.item_days_known,
        -- An item without a category says nothing about taste: the user's own rate stands in.
        coalesce(categories.user_category_click_rate, users.user_click_rate) as user_category_click_rate,
        coalesce(categories.user_category_exposures, 0.0) as user_category_exposures,
        users.user_mean_item_click_rate,
        coalesce(categories.user_category_click_surplus, 0.0) as user_category_click_surplus,
        cast(users.user_trailing_exposures as double) as user_trailing_exposures,
        cast(users.user_trailing_clicks as double) as user_trailing_clicks,
        cast(items.item_trailing_exposures as double) as item_trailing_exposures,
        cast(items.item_trailing_clicks as double) as item_trailing_clicks,
        users.user_recent_items
    from exposures
    -- The day is in the event; joined on it as well, a reader's filter on days reaches all four tables.
    inner join users on exposures.event_id = users.event_id and exposures.day = users.day
    inner join items on exposures.event_id = items.event_id and exposures.day = items.day
    left join categories on exposures.event_id = categories.event_id and exposures.day = categories.day

)

select * from joined
