{% macro settled_totals(by_day, keys, sums, clicks=false) %}
    {#-
        Totals per key of all days before the first that this run builds again, from a table of totals by day. What an
        earlier run added up is carried on; when the first day moved back, everything is added up again.
    -#}
    {%- set until = rebuilt_days()['first_day'] -%}
    {%- set through = run_query('select cast(max(through_day) as string) from ' ~ this).rows[0][0]
        if until and is_incremental() else none -%}
    {%- set columns = keys + sums + ['first_seen_at', 'last_seen_at'] + (['recent_clicks'] if clicks else []) -%}
    select
        {{ keys | join(', ') }},
        {%- for sum in sums %}
        cast(sum({{ sum }}) as bigint) as {{ sum }},
        {%- endfor %}
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        {%- if clicks %}
        {{ latest_clicks('array_sort(flatten(collect_list(recent_clicks)))') }} as recent_clicks,
        {%- endif %}
        {{ "date_sub(date'" ~ until ~ "', 1)" if until else 'cast(null as date)' }} as through_day
    from (
        select {{ columns | join(', ') }}
        from {{ by_day }}
        where {{ "day < date'" ~ until ~ "'" if until else 'false' }}
        {%- if through and through < until %} and day > date'{{ through }}'
        union all
        select {{ columns | join(', ') }}
        from {{ this }}
        {%- endif %}
    )
    group by {{ keys | join(', ') }}
{% endmacro %}
