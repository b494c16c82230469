{% macro count_late_rows() %}
    {#- Rows that landed since the last complete build and lie before the days that this one built. -#}
    {%- set layer = generate_schema_name('intermediate', none) -%}
    insert into {{ late_rows() }} by name
    with

    build as (

        select * from {{ builds() }}
        where build_id = '{{ invocation_id }}' and event = 'started'

    ),

    before_it as (

        select
            coalesce(max_by(exposures_load, at), 0) as exposures_load,
            coalesce(max_by(engagements_load, at), 0) as engagements_load,
            coalesce(max_by(users_load, at), 0) as users_load,
            coalesce(max_by(items_load, at), 0) as items_load
        from {{ builds() }}
        where event = 'complete'

    ),

    late as (

        select
            'exposures' as stream,
            to_date(served_at) as day
        from {{ source('raw', 'exposures') }}
        where
            load_id > (select exposures_load from before_it)
            and load_id <= (select exposures_load from build)
            and served_at < (select first_day from build)

        union all

        select
            'engagements' as stream,
            date_sub(to_date(engaged_at), {{ attribution_days() }}) as day
        from {{ source('raw', 'engagements') }}
        where
            load_id > (select engagements_load from before_it)
            and load_id <= (select engagements_load from build)
            and engaged_at < (select date_add(first_day, {{ attribution_days() }}) from build)

        {% for stream, id, totals in [
            ('users', 'user_id', layer ~ '.int_user_totals'), ('items', 'item_id', layer ~ '.int_item_totals')
        ] %}
        union all

        -- A state is late if something was counted after it that is not built again.
        select
            '{{ stream }}' as stream,
            to_date(states.updated_at) as day
        from {{ source('raw', stream) }} as states
        inner join {{ totals }} as totals on states.{{ id }} = totals.{{ id }} and states.updated_at < totals.last_seen_at
        where
            states.load_id > (select {{ stream }}_load from before_it)
            and states.load_id <= (select {{ stream }}_load from build)
            and states.updated_at < (select first_day from build)
        {% endfor %}

    )

    select
        '{{ invocation_id }}' as build_id,
        now() as at,
        stream,
        day,
        count(*) as num_rows
    from late
    group by stream, day
{% endmacro %}
