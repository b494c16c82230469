{% macro finish_build(results) %}
    {#-
        Write down that a build is complete, and which landed rows came too late for it. It is complete when every
        incremental model was built in it up to the newest day; the days of an incomplete one are built again.
    -#}
    {%- if execute and flags.WHICH in ('run', 'build') -%}
        {%- set built = [] -%}
        {%- for result in results if result.status == 'success' -%}
            {%- do built.append(result.node.unique_id) -%}
        {%- endfor -%}
        {%- set missing = [] -%}
        {%- for node in graph.nodes.values() if node.config.materialized == 'incremental' -%}
            {%- if node.unique_id not in built -%} {%- do missing.append(node.unique_id) -%} {%- endif -%}
        {%- endfor -%}
        {%- if missing == [] and var('backfill_to', none) is none -%}
            {%- set last, landed, days = graph['last_build'], graph['landed'], graph['rebuilt_days'] -%}
            {#- Where all days were built, or nothing landed, nothing came too late. -#}
            {%- if days['first_day'] is not none and landed.values() | reject('none') | list -%}
                {%- set late = count_late_rows(last, landed, days['first_day']) -%}
                {%- if run_query(late ~ ' limit 1').rows -%}
                    {%- do run_query('insert into ' ~ late_rows() ~ ' by name ' ~ late) -%}
                {%- endif -%}
            {%- endif -%}
            {%- do run_query('insert into ' ~ builds() ~ ' by name ' ~ build_event('complete', last, landed, days)) -%}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
