{% macro count_late_rows(last, landed, first_day) %}
    {#- Rows that landed since the build `last` and lie before the first day that this one built; by stream and day. -#}
    {%- set layer = generate_schema_name('intermediate', none) -%}
    {%- set first_day = literal('date', first_day) -%}
    {%- set late = [] -%}
    {%- for stream in ('exposures', 'engagements', 'users', 'items') if landed[stream ~ '_load'] is not none -%}
        {%- set counted -%}
            {%- if stream == 'exposures' -%}
                select to_date(served_at) as day
                from ({{ landed_since(last, stream) }})
                where served_at < {{ first_day }}
            {%- elif stream == 'engagements' -%}
                select date_sub(to_date(engaged_at), {{ attribution_days() }}) as day
                from ({{ landed_since(last, stream) }})
                where engaged_at < date_add({{ first_day }}, {{ attribution_days() }})
            {%- else -%}
                -- A state is late if something was counted after it that is not built again.
                {%- set id, totals = {
                    'users': ('user_id', layer ~ '.int_user_totals'), 'items': ('item_id', layer ~ '.int_item_totals')
                }[stream] %}
                select to_date(states.updated_at) as day
                from ({{ landed_since(last, stream) }}) as states
                inner join {{ totals }} as totals
                    on states.{{ id }} = totals.{{ id }} and states.updated_at < totals.last_seen_at
                where states.updated_at < {{ first_day }}
            {%- endif %}
            and load_id <= {{ landed[stream ~ '_load'] }}
        {%- endset -%}
        {%- do late.append("select '" ~ stream ~ "' as stream, day from (" ~ counted ~ ")") -%}
    {%- endfor -%}
    select
        '{{ invocation_id }}' as build_id,
        now() as at,
        stream,
        day,
        count(*) as num_rows
    from ({{ late | join(' union all ') }})
    group by stream, day
{% endmacro %}
