{% macro files_by_day(days) -%}
    {#- Every file holds whole days, one where they are partitions, so that replacing a day rewrites little. -#}
    {%- set num_files = ([1, ((days['num_rows'] | int) / 50000) | round(0, 'ceil') | int, 1000] | sort)[1] -%}
    /*+ repartition({{ num_files }}, day) */
{%- endmacro %}
