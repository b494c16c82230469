{% macro builds() -%}
    {#- The table of builds: production's own, and one per person beside their tables. -#}
    {{ generate_schema_name('monitoring', none) }}.builds
{%- endmacro %}
