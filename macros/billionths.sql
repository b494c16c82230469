{% macro billionths(rate) -%}
    {#- A rate as a whole number of billionths: whole numbers add up to the same sum in any order, doubles do not. -#}
    cast(round({{ rate }} * 1e9) as bigint)
{%- endmacro %}
