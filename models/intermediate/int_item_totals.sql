{{ config(incremental_predicates=['true'], partition_by=none) }}

{{ settled_totals(ref('int_items_by_day'), keys=['item_id'], sums=['exposures', 'clicks']) }}
