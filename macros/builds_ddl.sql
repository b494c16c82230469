{% macro builds_ddl() -%}
    create table if not exists {{ builds() }} (
        build_id string comment 'the invocation of dbt',
        event string comment 'started, or complete once every incremental model was built',
        at timestamp comment 'when',
        first_day date comment 'the first day built again; null where every day was',
        last_day date comment 'the last day built again; null where every later day was',
        watermark timestamp comment 'the newest exposure that had landed',
        exposures_load bigint comment 'the newest load of exposures that was read',
        engagements_load bigint comment 'the newest load of engagements that was read',
        users_load bigint comment 'the newest load of users that was read',
        items_load bigint comment 'the newest load of items that was read',
        num_rows bigint comment 'landed exposures of the days built again',
        recipes string comment 'the sampling recipes, as text'
    )
    using delta
    comment 'One row per event of a build, with the days that it built again and the loads that it read.'
    tblproperties ({{ retention_properties() }}, 'delta.autoOptimize.autoCompact' = 'true')
{%- endmacro %}
