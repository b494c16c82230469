{% macro rebuilt_days() %}
    {#-
        {first_day, last_day, num_rows} of the running build, the days as text; a day is none where there is no bound.
        Commands that build nothing, such as dbt compile, speak of all days.
    -#}
    {%- set days = {'first_day': none, 'last_day': none, 'num_rows': 0} -%}
    {%- if execute and flags.WHICH in ('run', 'build', 'test') -%}
        {%- set found = run_query(
            "select cast(first_day as string), cast(last_day as string), num_rows from " ~ builds()
            ~ " where build_id = '" ~ invocation_id ~ "' and event = 'started'"
        ).rows[0] -%}
        {%- do days.update({'first_day': found[0], 'last_day': found[1], 'num_rows': found[2]}) -%}
    {%- endif -%}
    {{ return(days) }}
{% endmacro %}
