{% macro generate_schema_name(custom_schema_name, node) -%}
    {#- Production's schemas carry the layer's plain name; everybody else's are prefixed with their own. -#}
    {%- set layer = custom_schema_name | trim if custom_schema_name else none -%}
    {%- if layer is none -%}
        {{ target.schema }}
    {%- elif target.name in ('prod', 'cluster') -%}
        {{ layer }}
    {%- else -%}
        {{ target.schema }}_{{ layer }}
    {%- endif -%}
{%- endmacro %}
