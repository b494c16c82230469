{{ config(materialized='view') }}

with

exposures as (

    select * from {{ ref('int_exposures_joined_to_items') }}

),

categories as (

    select
        event_id,
        request_id,
        user_id,
        item_id,
        day,
        served_at,
        if(impressed, 1, 0) as exposures,
        if(impressed, {{ billionths('item_click_rate') }}, 0) as expected_clicks_e9,
        explode(array_distinct(item_categories)) as category
    from exposures

)

select * from categories
