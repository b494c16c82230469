{% macro rebuilt(column, days, before=0) -%}
    {#- Whether a time or day lies in the days being built again, or up to `before` days earlier. -#}
    {%- set bounds = [] -%}
    {%- if days['first_day'] is not none -%}
        {%- do bounds.append(column ~ " >= date_sub(date'" ~ days['first_day'] ~ "', " ~ before ~ ")") -%}
    {%- endif -%}
    {%- if days['last_day'] is not none -%}
        {%- do bounds.append(column ~ " < date_add(date'" ~ days['last_day'] ~ "', 1)") -%}
    {%- endif -%}
    {{ bounds | join(' and ') if bounds else 'true' }}
{%- endmacro %}
