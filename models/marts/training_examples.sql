{%- set days = days_of_build() %}

with

sampled as (

    select * from {{ ref('int_examples_sampled') }}
    where {{ rebuilt('day', days) }}

),

training_examples as (

    select
        event_id,
        request_id,
        user_id,
        item_id,
        served_at,
        day,
        surface,
        position,
        traffic,
        release_id,
        propensity,
        logging_probability,
        acted,
        clicked,
        long_clicked,
        saved,
        hidden,
        draw,
        user_slice,
        user_segment,
        country,
        gender,
        content_type,
        hour_of_day,
        item_categories,
        user_age,
        item_age_days,
        logged_affinity,
        user_exposures,
        user_clicks,
        user_click_rate,
        user_days_known,
        item_exposures,
        item_clicks,
        item_click_rate,
        item_days_known,
        user_category_click_rate,
        user_category_exposures,
        user_mean_item_click_rate,
        user_category_click_surplus,
        user_trailing_exposures,
        user_trailing_clicks,
        item_trailing_exposures,
        item_trailing_clicks,
        user_recent_items,
        recipe,
        stratum,
        keep_probability,
        negative_keep_probability
    from sampled
    where {{ recipe_is_materialised() }}

)

select * from training_examples
