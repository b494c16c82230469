{% macro get_where_subquery(relation) %}
    {#- Overrides dbt's: in the `where` of a data test, __rebuilt__ stands for the days that this run built again. -#}
    {%- set where = config.get('where', '') -%}
    {%- if not where -%} {{ return(relation) }} {%- endif -%}
    {%- set tested = graph.nodes[model.attached_node].config if execute else {} -%}
    {%- set days = rebuilt('day', rebuilt_days(), partitioned=tested.get('partition_by') == 'day') -%}
    {%- set condition = where | replace('__rebuilt__', days) -%}
    {{ return('(select * from ' ~ relation ~ ' where ' ~ condition ~ ') as tested') }}
{% endmacro %}
