{%- set days = rebuilt_days() -%}

-- No exposure vanishes on its way: each step holds exactly the rows of the step before, less those named here. Of the
-- days that this run built again.
with

raw_exposures as (

    select * from {{ source('raw', 'exposures') }}
    where {{ rebuilt('served_at', days, partitioned=false) }}

),

deduplicated as (

    select * from {{ ref('int_exposures_deduplicated') }}
    where {{ rebuilt('day', days) }}

),

labelled as (

    select * from {{ ref('int_exposures_labelled') }}
    where {{ rebuilt('day', days) }}

),

examples as (

    select * from {{ ref('examples') }}
    where {{ rebuilt('day', days) }}

),

random_slice as (

    select * from {{ ref('random_slice') }}
    where {{ rebuilt('day', days) }}

),

clock as (

    select max(served_at) - make_dt_interval(0, {{ var('attribution_window_hours') }}) as newest_closed
    from {{ ref('int_exposures_deduplicated') }}
    where {{ rebuilt('day', dict(days, last_day=none)) }}

),

landed as (

    select count(distinct event_id) as num_events
    from raw_exposures

),

known as (

    select
        count(*) as num_events,
        count_if(deduplicated.source_file like 'engagements/%') as unlogged,
        count_if(deduplicated.served_at > clock.newest_closed) as pending
    from deduplicated
    cross join clock

),

closed as (

    select
        count(*) as num_events,
        count_if(traffic = 'random') as random_candidates,
        count_if(not impressed) as not_seen,
        count_if(impressed and acted = 0 and logging_draw >= logging_probability) as landed_for_a_late_action
    from labelled

),

finished as (

    select count(*) as num_events
    from examples

),

sliced as (

    select count(*) as num_events
    from random_slice

),

counted as (

    select
        landed.num_events as landed,
        known.num_events as deduplicated,
        known.unlogged,
        known.pending,
        closed.num_events as labelled,
        closed.not_seen,
        closed.landed_for_a_late_action,
        finished.num_events as examples,
        closed.random_candidates,
        sliced.num_events as random_slice
    from landed
    cross join known
    cross join closed
    cross join finished
    cross join sliced

)

select * from counted
where
    landed + unlogged != deduplicated
    or deduplicated != labelled + pending
    or labelled != examples + not_seen + landed_for_a_late_action
    or random_candidates != random_slice
