{% macro in_prefix_order(partition=none) -%}
    {%- set first = partition ~ ', ' if partition else '' -%}
    sort by {{ first }}day asc, acted desc, draw asc
{%- endmacro %}
