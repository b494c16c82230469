{%- set days = rebuilt_days() -%}

-- What examples say was known before an exposure, counted again the slow plain way for the 200 lowest draws; and no
-- exposure that rests on an event or a state of its own instant or later. Of the days that this run built again.
with

examples as (

    select * from {{ ref('examples') }}
    where {{ rebuilt('day', days) }}

),

exposures as (

    select * from {{ ref('int_exposures_deduplicated') }}
    where impressed and {{ rebuilt('day', days) }}

),

clicks as (

    select * from {{ ref('int_engagements_deduplicated') }}
    where action = 'click' and {{ rebuilt('day', days) }}

),

users as (

    select * from {{ ref('int_exposures_joined_to_users') }}
    where {{ rebuilt('day', days) }}

),

items as (

    select * from {{ ref('int_exposures_joined_to_items') }}
    where {{ rebuilt('day', days) }}

),

user_totals as (

    select * from {{ ref('int_user_totals') }}

),

item_totals as (

    select * from {{ ref('int_item_totals') }}

),

looked_at as (

    select *
    from examples
    order by draw asc
    limit 200

),

{% for entity in ['user', 'item'] -%}
    {{ entity }}_exposures_before as (

        select
            looked_at.event_id,
            count(exposures.event_id) as num_rows
        from looked_at
        left join exposures
            on
                looked_at.{{ entity }}_id = exposures.{{ entity }}_id
                and looked_at.served_at > exposures.served_at
        group by looked_at.event_id

    ),

    {{ entity }}_clicks_before as (

        select
            looked_at.event_id,
            count(clicks.event_id) as num_rows
        from looked_at
        left join clicks
            on
                looked_at.{{ entity }}_id = clicks.{{ entity }}_id
                and looked_at.served_at > clicks.engaged_at
        group by looked_at.event_id

    ),

{% endfor -%}

miscounted as (

    select
        looked_at.event_id,
        'a count differs from what lies strictly before' as fault
    from looked_at
    inner join user_exposures_before on looked_at.event_id = user_exposures_before.event_id
    inner join user_clicks_before on looked_at.event_id = user_clicks_before.event_id
    inner join item_exposures_before on looked_at.event_id = item_exposures_before.event_id
    inner join item_clicks_before on looked_at.event_id = item_clicks_before.event_id
    left join user_totals on looked_at.user_id = user_totals.user_id
    left join item_totals on looked_at.item_id = item_totals.item_id
    where
        looked_at.user_exposures != user_exposures_before.num_rows + coalesce(user_totals.exposures, 0)
        or looked_at.user_clicks != user_clicks_before.num_rows + coalesce(user_totals.clicks, 0)
        or looked_at.item_exposures != item_exposures_before.num_rows + coalesce(item_totals.exposures, 0)
        or looked_at.item_clicks != item_clicks_before.num_rows + coalesce(item_totals.clicks, 0)

),

early as (

    select
        event_id,
        'it rests on something of its user that was not yet known' as fault
    from users
    where user_known_at >= served_at

    union all

    select
        event_id,
        'it rests on something of its item that was not yet known' as fault
    from items
    where item_known_at >= served_at

),

faults as (

    select * from miscounted
    union all
    select * from early

)

select * from faults
