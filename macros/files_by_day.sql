{% macro files_by_day(days) -%}
    {#- One task writes a whole day, so that its partition gets one file; of small days it takes about 50,000 rows. -#}
    {%- set num_files = ([1, ((days['num_rows'] | int) / 50000) | round(0, 'ceil') | int, 1000] | sort)[1] -%}
    /*+ repartition({{ num_files }}, day) */
{%- endmacro %}
