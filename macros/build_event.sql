{% macro build_event(event, last, landed, days) -%}
    {#- A row of monitoring.builds about the running build; where nothing landed it says what the build `last` did. -#}
    {%- set known = last if last is not none else {} -%}
    {%- set loads = [] -%}
    {%- for load in ('exposures_load', 'engagements_load', 'users_load', 'items_load') -%}
        {%- do loads.append((landed[load] or known[load] or 'null') ~ ' as ' ~ load) -%}
    {%- endfor -%}
    select
        '{{ invocation_id }}' as build_id,
        '{{ event }}' as event,
        now() as at,
        {{ literal('date', days['first_day']) }} as first_day,
        {{ literal('date', days['last_day']) }} as last_day,
        greatest(
            {{ literal('timestamp', landed['last_exposure']) }}, {{ literal('timestamp', known['watermark']) }}
        ) as watermark,
        {{ loads | join(', ') }},
        {{ days['num_rows'] }} as num_rows,
        {{ quoted_list([recipes_definition()]) }} as recipes
{%- endmacro %}
