{% macro late_rows() %}
    {#- Where a build counts the landed rows that came too late for it. -#}
    {{ return(api.Relation.create(schema=generate_schema_name('monitoring', none), identifier='late_row_counts')) }}
{% endmacro %}
