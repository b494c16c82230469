{% macro in_prefix_order(partition=none) -%}
    sort by {{ partition ~ ', ' if partition }}day asc, acted desc, draw asc
{%- endmacro %}
