{{ config(incremental_predicates=['true'], partition_by=none) }}

{{ settled_totals(
    ref('int_users_by_day'), keys=['user_id'], sums=['exposures', 'expected_clicks_e9', 'clicks'], clicks=true
) }}
