{% macro first_day_to_build(last, landed) %}
    {#-
        The first day that this run builds again, as SQL; null is all days. `last` is the last complete build, `landed`
        what came since.

        A day is built again if a row of it landed since, if an event of it was delivered again, for whichever day, if an
        exposure of it was pending, or if the state of a user or an item that landed since was valid on it; everything
        after the first such day follows, because features count what came before. Nothing before the look-back is
        touched: what landed there is counted as late instead. A backfill to the newest day is a complete build too, so it
        begins with the first such day if that is earlier. What did not land is not searched for.
    -#}
    {%- set backfill_from = var('backfill_from', none) -%}
    {%- set backfilled = literal('date', backfill_from) -%}
    {%- if last is none or (backfill_from is not none and var('backfill_to', none) is not none) -%}
        {{ return(backfilled) }}
    {%- endif -%}
    {%- set watermark = literal('timestamp', last['watermark']) -%}
    {%- set days_back = (var('look_back_days') | int) + attribution_days() -%}
    {%- set earliest_day = 'date_sub(to_date(' ~ watermark ~ '), ' ~ days_back ~ ')' -%}
    {%- set changed -%}
        select to_date({{ watermark }} - make_dt_interval(0, {{ var('attribution_window_hours') }})) as day

        {% if landed['exposures_load'] is not none -%}
            union all

            select to_date({{ literal('timestamp', landed['first_exposure']) }}) as day

            union all

            -- Of several deliveries of an event one is kept, whichever day it names: all their days are built together.
            select to_date(deliveries.served_at) as day
            from {{ source('raw', 'exposures') }} as deliveries
            left semi join ({{ landed_since(last, 'exposures') }}) as exposures
                on deliveries.event_id = exposures.event_id
            where deliveries.served_at >= {{ earliest_day }}

        {% endif -%}
        {% if landed['engagements_load'] is not none -%}
            union all

            select date_sub(to_date({{ literal('timestamp', landed['first_engagement']) }}), {{ attribution_days() }}) as day

        {% endif -%}
        {% for stream, id in [('users', 'user_id'), ('items', 'item_id')] if landed[stream ~ '_load'] is not none -%}
            union all

            select to_date(shown.served_at) as day
            from (
                select {{ id }}, served_at from {{ source('raw', 'exposures') }}
                union all
                -- What makes an example of an impression that did not land; of others the time is null.
                select {{ id }}, served_at from {{ source('raw', 'engagements') }}
            ) as shown
            inner join ({{ landed_since(last, stream) }}) as states
                on shown.{{ id }} = states.{{ id }} and shown.served_at > states.updated_at
            where shown.served_at >= {{ earliest_day }}

        {% endfor -%}
    {%- endset -%}
    {{ return('least(' ~ backfilled ~ ', greatest(' ~ earliest_day ~ ', (select min(day) from (' ~ changed ~ '))))') }}
{% endmacro %}
