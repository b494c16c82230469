{% macro rebuilt_days() %}
    {#-
        {first_day, last_day, num_rows} of the running build, the days as text; a day is none where there is no bound.
        Commands that build nothing, such as dbt compile, speak of all days. begin_build keeps them in `graph`, the one
        thing that a run's hooks and models share, because asking the table costs each model a third of a second.
        What is tagged `recipes` is built anew, and all of it tested, when the recipes are not those of the last build.
    -#}
    {%- set everything = {'first_day': none, 'last_day': none, 'num_rows': 0} -%}
    {%- set days = dict(graph.get('rebuilt_days', everything) if execute else everything) -%}
    {%- if execute and graph.get('recipes_changed') and ('recipes' in model.tags or model.resource_type == 'test') -%}
        {%- do days.update({'first_day': none, 'last_day': none}) -%}
    {%- endif -%}
    {{ return(days) }}
{% endmacro %}
