{% macro known_before_day(by_day, totals, keys, sums, days) %}
    {#-
        One row per key and day of the days built again: what was known at the midnight before. `<sum>` counts all days
        before, `trailing_<sum>` the last var trailing_days of them.
    -#}
    select
        recent.day,
        {%- for key in keys %}
        recent.{{ key }},
        {%- endfor %}
        {%- for sum in sums %}
        recent.{{ sum }} {{ '+ coalesce(settled.' ~ sum ~ ', 0)' if days['first_day'] is not none }} as {{ sum }},
        recent.trailing_{{ sum }},
        {%- endfor %}
        {{ 'least(settled.first_seen_at, recent.first_seen_at)' if days['first_day'] is not none else 'recent.first_seen_at' }}
            as first_seen_at,
        {{ 'greatest(settled.last_seen_at, recent.last_seen_at)' if days['first_day'] is not none else 'recent.last_seen_at' }}
            as last_seen_at
    from (
        select
            day,
            {{ keys | join(', ') }},
            {%- for sum in sums %}
            coalesce(sum(if(is_rebuilt, {{ sum }}, 0)) over earlier, 0) as {{ sum }},
            coalesce(sum({{ sum }}) over lately, 0) as trailing_{{ sum }},
            {%- endfor %}
            min(if(is_rebuilt, first_seen_at, null)) over earlier as first_seen_at,
            max(if(is_rebuilt, last_seen_at, null)) over earlier as last_seen_at
        from (
            select
                *,
                {{ rebuilt('day', days) }} as is_rebuilt
            from {{ by_day }}
            where {{ rebuilt('day', days, before=var('trailing_days')) }}
        )
        window
            earlier as (
                partition by {{ keys | join(', ') }} order by day rows between unbounded preceding and 1 preceding
            ),
            lately as (
                partition by {{ keys | join(', ') }} order by unix_date(day)
                range between {{ var('trailing_days') | int }} preceding and 1 preceding
            )
    ) as recent
    {%- if days['first_day'] is not none %}
    left join {{ totals }} as settled
        on {% for key in keys %}recent.{{ key }} = settled.{{ key }}{{ ' and ' if not loop.last }}{% endfor %}
    {%- endif %}
    where {{ rebuilt('recent.day', days) }}
{% endmacro %}
