{% macro get_where_subquery(relation) %}
    {#- Overrides dbt's: in the `where` of a data test, __rebuilt__ stands for the days that this run built again. -#}
    {%- set where = config.get('where', '') -%}
    {%- if not where -%} {{ return(relation) }} {%- endif -%}
    {%- set condition = where | replace('__rebuilt__', rebuilt('day', rebuilt_days())) -%}
    {{ return('(select * from ' ~ relation ~ ' where ' ~ condition ~ ') as tested') }}
{% endmacro %}
