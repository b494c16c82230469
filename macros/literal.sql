{% macro literal(type, value) -%}
    {#- A date or timestamp as SQL; a null of that type where the value is none or undefined. -#}
    {{ type ~ "'" ~ value ~ "'" if value else 'cast(null as ' ~ type ~ ')' }}
{%- endmacro %}
