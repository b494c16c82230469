{% macro rebuilt_days() %}
    {#-
        {first_day, last_day, num_rows} of the running build, the days as text; a day is none where there is no bound.
        Commands that build nothing, such as dbt compile, speak of all days. begin_build keeps them in `graph`, the one
        thing that a run's hooks and models share, because asking the table costs each model a third of a second.
    -#}
    {%- set everything = {'first_day': none, 'last_day': none, 'num_rows': 0} -%}
    {{ return(dict(graph.get('rebuilt_days', everything) if execute else everything)) }}
{% endmacro %}
