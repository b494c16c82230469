{{ config(incremental_predicates=['true']) }}

{{ settled_totals(ref('int_items_by_day'), keys=['item_id'], sums=['exposures', 'clicks']) }}
