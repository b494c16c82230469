{% macro dbt_spark_validate_get_incremental_strategy(raw_strategy, file_format) %}
    {#- Overrides dbt-spark's. The others lose rows here: append repeats days, insert_overwrite wipes the table. -#}
    {%- if raw_strategy != 'replace_where' or file_format != 'delta' -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ " has incremental_strategy '" ~ raw_strategy ~ "' and file_format '" ~ file_format
            ~ "'; it must be replace_where on delta") }}
    {%- endif -%}
    {{ return(raw_strategy) }}
{% endmacro %}
