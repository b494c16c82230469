{% macro date_or_null(day) -%}
    {#- A day as SQL. -#}
    {{ 'cast(null as date)' if day is none else "date'" ~ day ~ "'" }}
{%- endmacro %}
