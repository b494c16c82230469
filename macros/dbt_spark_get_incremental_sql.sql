{% macro dbt_spark_get_incremental_sql(strategy, source, target, existing, unique_key, incremental_predicates) %}
    {#-
        Overrides dbt-spark's: replace the days that are built again, in one commit, by column name. A model without
        days says `incremental_predicates: ["true"]` and replaces all of its rows. Days are dates here, partitions or not:
        Spark hands Delta no condition on a cast.
    -#}
    {%- do check_columns(source, target) -%}
    insert into {{ target }} by name
    replace where {{ (incremental_predicates or [rebuilt('day', rebuilt_days(), partitioned=false)]) | join(' and ') }}
    select * from {{ source }}
{% endmacro %}
