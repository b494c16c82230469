{% macro late_rows() -%}
    {#- Where a build counts the landed rows that came too late for it. -#}
    {{ generate_schema_name('monitoring', none) }}.late_row_counts
{%- endmacro %}
