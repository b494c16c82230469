{% macro recipe_condition(rule) -%}
    {%- if 'in' in rule -%}
        {{ rule['column'] }} in ({{ quoted_list(rule['in']) }})
    {%- else -%}
        {%- set bounds = [] -%}
        {%- if 'at_least' in rule -%}
            {%- do bounds.append(rule['column'] ~ ' >= cast(' ~ rule['at_least'] ~ ' as double)') -%}
        {%- endif -%}
        {%- if 'below' in rule -%}
            {%- do bounds.append(rule['column'] ~ ' < cast(' ~ rule['below'] ~ ' as double)') -%}
        {%- endif -%}
        {{ bounds | join(' and ') }}
    {%- endif -%}
{%- endmacro %}
