{% macro builds() %}
    {#- The table of builds: production's own, and one per person beside their tables. -#}
    {{ return(api.Relation.create(schema=generate_schema_name('monitoring', none), identifier='builds')) }}
{% endmacro %}
