{% macro attribution_days() -%}
    {#- Whole days that an action may lie after its exposure. -#}
    {{ return(((var('attribution_window_hours') | int) / 24) | round(0, 'ceil') | int) }}
{%- endmacro %}
