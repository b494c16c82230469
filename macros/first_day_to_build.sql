{% macro build_window(last) %}
    {#-
        One row of the table of builds: the days that this run builds again, given the last complete build.

        A day is built again if a row of it landed since, if an event of it was delivered again, for whichever day, if an
        exposure of it was pending, or if the state of a user or an item that landed since was valid on it; everything
        after the first such day follows, because features count what came before. Nothing before the look-back is
        touched: what landed there is counted as late instead. A backfill to the newest day is a complete build too, so it
        begins with the first such day if that is earlier.
    -#}
    {%- set streams = ['exposures', 'engagements', 'users', 'items'] -%}
    {%- set backfill_from = var('backfill_from', none) -%}
    with

    {% for stream in streams -%}
        {{ stream }} as (

            select * from {{ source('raw', stream) }}
            {% if last is not none -%} where load_id > {{ last[stream ~ '_load'] or 0 }} {%- endif %}

        ),

    {% endfor -%}

    landed as (

        select
            (select min(served_at) from exposures) as first_exposure,
            (select max(served_at) from exposures) as last_exposure,
            (select min(engaged_at) from engagements) as first_engagement
            {%- for stream in streams %},
            (select max(load_id) from {{ stream }}) as {{ stream }}_load
            {%- endfor %}

    ),

    {% if last is not none and (backfill_from is none or var('backfill_to', none) is none) -%}
        {%- set watermark = "timestamp'" ~ last['watermark'] ~ "'" -%}
        look_back as (

            select date_sub(
                to_date({{ watermark }}), {{ var('look_back_days') }} + {{ attribution_days() }}
            ) as earliest_day

        ),

        -- Of several deliveries of an event one is kept, whichever day it names: all their days are built together.
        delivered as (

            select min(to_date(deliveries.served_at)) as day
            from {{ source('raw', 'exposures') }} as deliveries
            left semi join exposures on deliveries.event_id = exposures.event_id
            where deliveries.served_at >= (select earliest_day from look_back)

        ),

        shown as (

            select
                user_id,
                item_id,
                served_at
            from {{ source('raw', 'exposures') }}

            union all

            -- What makes an example of an impression that did not land.
            select
                user_id,
                item_id,
                served_at
            from {{ source('raw', 'engagements') }}
            where served_at is not null

        ),

        {% for stream, id in [('users', 'user_id'), ('items', 'item_id')] -%}
            {{ stream }}_touched as (

                select min(to_date(seen.served_at)) as day
                from shown as seen
                inner join {{ stream }} on seen.{{ id }} = {{ stream }}.{{ id }} and seen.served_at > {{ stream }}.updated_at
                where seen.served_at >= (select earliest_day from look_back)

            ),

        {% endfor -%}

        days as (

            select {{ "least(date'" ~ backfill_from ~ "', " if backfill_from is not none }}greatest(look_back.earliest_day, least(
                coalesce(to_date(landed.first_exposure), date'9999-12-31'),
                coalesce(delivered.day, date'9999-12-31'),
                coalesce(date_sub(to_date(landed.first_engagement), {{ attribution_days() }}), date'9999-12-31'),
                coalesce(users_touched.day, date'9999-12-31'),
                coalesce(items_touched.day, date'9999-12-31'),
                to_date({{ watermark }} - make_dt_interval(0, {{ var('attribution_window_hours') }}))
            )){{ ")" if backfill_from is not none }} as first_day
            from landed
            cross join look_back
            cross join delivered
            cross join users_touched
            cross join items_touched

        )

    {%- else -%}
        days as (

            select cast({{ "date'" ~ backfill_from ~ "'" if backfill_from is not none else 'null' }} as date) as first_day

        )

    {%- endif %}

    select
        '{{ invocation_id }}' as build_id,
        'started' as event,
        now() as at,
        days.first_day,
        cast({{ "date'" ~ var('backfill_to') ~ "'" if var('backfill_to', none) is not none else 'null' }} as date)
            as last_day,
        greatest(landed.last_exposure, {{ "timestamp'" ~ last['watermark'] ~ "'" if last is not none else 'null' }})
            as watermark
        {%- for stream in streams %},
        greatest(landed.{{ stream }}_load, {{ last[stream ~ '_load'] or 'null' if last is not none else 'null' }})
            as {{ stream }}_load
        {%- endfor %},
        (
            select count(*)
            from {{ source('raw', 'exposures') }}
            where served_at >= (select coalesce(first_day, date'0001-01-01') from days)
        ) as num_rows,
        {{ quoted_list([recipes_definition()]) }} as recipes
    from landed
    cross join days
{% endmacro %}
