{%- set days = days_of_build() %}

with

exposures as (

    select * from {{ ref('int_exposures_deduplicated') }}
    where {{ rebuilt('day', days) }}

),

engagements as (

    select * from {{ ref('int_engagements_deduplicated') }}
    where {{ rebuilt('day', dict(days, last_day=none)) }}

),

clock as (

    select max(served_at) as watermark
    from {{ ref('int_exposures_deduplicated') }}
    where {{ rebuilt('day', dict(days, last_day=none)) }}

),

closed as (

    select exposures.*
    from exposures
    cross join clock
    where exposures.served_at + make_dt_interval(0, {{ var('attribution_window_hours') }}) <= clock.watermark

),

actions as (

    select
        closed.event_id,
        1 as acted,
        max(if(engagements.action = 'click', 1, 0)) as clicked,
        max(if(engagements.action = 'long_click', 1, 0)) as long_clicked,
        max(if(engagements.action = 'save', 1, 0)) as saved,
        max(if(engagements.action = 'hide', 1, 0)) as hidden
    from closed
    inner join engagements
        on
            closed.request_id = engagements.request_id
            and closed.item_id = engagements.item_id
    where
        engagements.engaged_at >= closed.served_at
        and engagements.engaged_at < closed.served_at + make_dt_interval(0, {{ var('attribution_window_hours') }})
    group by closed.event_id

),

labelled as (

    select
        closed.*,
        coalesce(actions.acted, 0) as acted,
        coalesce(actions.clicked, 0) as clicked,
        coalesce(actions.long_clicked, 0) as long_clicked,
        coalesce(actions.saved, 0) as saved,
        coalesce(actions.hidden, 0) as hidden
    from closed
    left join actions on closed.event_id = actions.event_id

)

select {{ files_by_day(days) }} * from labelled
