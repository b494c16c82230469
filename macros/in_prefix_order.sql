{% macro in_prefix_order() -%}
    distribute by day sort by day asc, acted desc, draw asc
{%- endmacro %}
