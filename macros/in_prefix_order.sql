{% macro in_prefix_order() -%}
    sort by day asc, acted desc, draw asc
{%- endmacro %}
