{% macro late_rows_ddl() -%}
    create table if not exists {{ late_rows() }} (
        build_id string comment 'the build that passed them over',
        at timestamp comment 'when it was complete',
        stream string comment 'exposures, engagements, users or items',
        day date comment 'the first day that has to be built again for them',
        num_rows bigint comment 'landed rows'
    )
    using delta
    comment 'One row per (build, stream, day), how many rows landed too late for that build.'
    tblproperties ({{ retention_properties() }}, 'delta.autoOptimize.autoCompact' = 'true')
{%- endmacro %}
