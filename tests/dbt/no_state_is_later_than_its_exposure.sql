{{ config(group='data') }}

{%- set days = rebuilt_days() -%}

-- Attributes that differ from the last state that landed for strictly before the exposure, looked up again the plain
-- way for 5,000 examples, whole days of some users or items. And every exposure that by its own account rests on an
-- event or a state of its instant or later. Of the days that this run built again.
with

examples as (

    select * from {{ ref('examples') }}
    where {{ rebuilt('day', days) }}

),

users as (

    select * from {{ ref('stg_users') }}

),

items as (

    select * from {{ ref('stg_items') }}

),

{% for entity in ['user', 'item'] -%}
    of_{{ entity }}s as (

        select *
        from examples
        order by {{ draw("concat(" ~ entity ~ "_id, '/', day)", 'recount-1') }} asc, event_id asc
        limit 5000

    ),

    {{ entity }}s_known as (

        select
            of_{{ entity }}s.event_id,
            -- Of two states with one time the one delivered last.
            max_by(
                struct(states.*), struct(states.updated_at, states.load_id, states.source_file, states.source_row)
            ) as state
        from of_{{ entity }}s
        inner join {{ entity }}s as states
            on
                of_{{ entity }}s.{{ entity }}_id = states.{{ entity }}_id
                and of_{{ entity }}s.served_at > states.updated_at
        group by of_{{ entity }}s.event_id

    ),

{% endfor -%}

differing as (

    select
        of_users.event_id,
        concat_ws(
            ', ',
            if(of_users.user_segment <=> coalesce(known.state.segment, 'unknown'), null, 'user_segment'),
            if(of_users.country <=> coalesce(known.state.country, 'unknown'), null, 'country'),
            if(of_users.gender <=> coalesce(known.state.gender, 'unknown'), null, 'gender'),
            if(of_users.user_age <=> known.state.age, null, 'user_age')
        ) as features
    from of_users
    left join users_known as known on of_users.event_id = known.event_id

    union all

    select
        of_items.event_id,
        concat_ws(
            ', ',
            if(of_items.content_type <=> coalesce(known.state.content_type, 'unknown'), null, 'content_type'),
            if(of_items.item_categories <=> coalesce(known.state.categories, array()), null, 'item_categories'),
            if(
                of_items.item_age_days <=> {{ days_between('known.state.published_at', 'of_items.served_at') }},
                null,
                'item_age_days'
            )
        ) as features
    from of_items
    left join items_known as known on of_items.event_id = known.event_id

),

early as (

    {% for entity in ['user', 'item'] -%}
        select
            event_id,
            '{{ entity }}_known_at' as features
        from {{ ref('int_exposures_joined_to_' ~ entity ~ 's') }}
        where {{ entity }}_known_at >= served_at and {{ rebuilt('day', days) }}
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

faults as (

    select * from differing
    union all
    select * from early

)

select * from faults
where features != ''
