{% macro begin_build() %}
    {#- Decide once which days this run builds again: its models read them from `graph`, later runs from the table. -#}
    {%- if execute and flags.WHICH in ('run', 'build', 'test') -%}
        {%- do run_query('create schema if not exists ' ~ generate_schema_name('monitoring', none)) -%}
        {%- do run_query(builds_ddl()) -%}
        {%- do run_query(late_rows_ddl()) -%}
        {%- set found = run_query(
            "select exposures_load, engagements_load, users_load, items_load, watermark from " ~ builds()
            ~ " where event = 'complete' and watermark is not null order by at desc limit 1"
        ).rows -%}
        {%- set last = found[0] if found and not flags.FULL_REFRESH else none -%}
        {%- do run_query('insert into ' ~ builds() ~ ' by name ' ~ build_window(last)) -%}
        {%- set days = run_query(
            "select cast(first_day as string), cast(last_day as string), num_rows from " ~ builds()
            ~ " where build_id = '" ~ invocation_id ~ "'"
        ).rows[0] -%}
        {%- do graph.update({
            'rebuilt_days': {'first_day': days[0], 'last_day': days[1], 'num_rows': days[2]}
        }) -%}
    {%- endif -%}
{% endmacro %}
