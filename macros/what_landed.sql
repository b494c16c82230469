{% macro what_landed(last) -%}
    {#- One row: the newest load of each stream since the build `last`, null if there is none, and its times. -#}
    {%- set times = {
        'exposures': 'served_at', 'engagements': 'engaged_at', 'users': 'updated_at', 'items': 'updated_at'
    } -%}
    select
        {%- for stream in times %}
        max(load_id) filter (where stream = '{{ stream }}') as {{ stream }}_load,
        {%- endfor %}
        min(at) filter (where stream = 'exposures') as first_exposure,
        max(at) filter (where stream = 'exposures') as last_exposure,
        min(at) filter (where stream = 'engagements') as first_engagement
    from (
        {%- for stream, at in times.items() %}
        select '{{ stream }}' as stream, load_id, {{ at }} as at from ({{ landed_since(last, stream) }})
        {%- if not loop.last %} union all {%- endif %}
        {%- endfor %}
    )
{%- endmacro %}
