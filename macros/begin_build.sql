{% macro begin_build() %}
    {#-
        Decide once which days this run builds again: its models read them from `graph`, later runs from the table. Each
        question is asked with the answers to those before it written in: then it reads only the files that it must.
    -#}
    {%- if execute and flags.WHICH in ('run', 'build', 'test') -%}
        {%- for table, ddl in [(builds(), builds_ddl()), (late_rows(), late_rows_ddl())] -%}
            {%- set schema, name = (table | trim).split('.') -%}
            {%- if adapter.get_relation(none, schema, name) is none -%}
                {%- do run_query('create schema if not exists ' ~ schema) -%}
                {%- do run_query(ddl) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- set found = run_query(
            "select exposures_load, engagements_load, users_load, items_load, watermark, recipes from " ~ builds()
            ~ " where event = 'complete' and watermark is not null order by at desc limit 1"
        ).rows -%}
        {%- set last = found[0] if found and not flags.FULL_REFRESH else none -%}
        {%- set landed = run_query(what_landed(last)).rows[0] -%}
        {%- set bounds = run_query(
            'select cast(' ~ first_day_to_build(last, landed) ~ ' as string), cast('
            ~ literal('date', var('backfill_to', none)) ~ ' as string)'
        ).rows[0] -%}
        {%- set days = {'first_day': bounds[0], 'last_day': bounds[1]} -%}
        {%- set num_rows = run_query(
            'select count(*) from ' ~ source('raw', 'exposures')
            ~ ' where ' ~ rebuilt('served_at', days, partitioned=false)
        ).rows[0][0] -%}
        {%- do days.update({'num_rows': num_rows}) -%}
        {%- do run_query('insert into ' ~ builds() ~ ' by name ' ~ build_event('started', last, landed, days)) -%}
        {%- do graph.update({
            'rebuilt_days': days,
            'recipes_changed': last is none or last['recipes'] != recipes_definition(),
            'last_build': last,
            'landed': landed
        }) -%}
    {%- endif -%}
{% endmacro %}
