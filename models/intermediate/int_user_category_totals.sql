{{ config(incremental_predicates=['true'], partition_by=none) }}

{{ settled_totals(
    ref('int_user_categories_by_day'),
    keys=['user_id', 'category'],
    sums=['exposures', 'expected_clicks_e9', 'clicks']
) }}
