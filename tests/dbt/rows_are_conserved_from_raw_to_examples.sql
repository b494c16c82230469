-- No exposure vanishes on its way: each step holds exactly the rows of the step before, less those named here.
with

raw_exposures as (

    select * from {{ source('raw', 'exposures') }}

),

deduplicated as (

    select * from {{ ref('int_exposures_deduplicated') }}

),

labelled as (

    select * from {{ ref('int_exposures_labelled') }}

),

examples as (

    select * from {{ ref('examples') }}

),

random_slice as (

    select * from {{ ref('random_slice') }}

),

clock as (

    select max(served_at) - make_dt_interval(0, {{ var('attribution_window_hours') }}) as newest_closed
    from raw_exposures

),

landed as (

    select count(distinct event_id) as num_events
    from raw_exposures

),

known as (

    select
        count(*) as num_events,
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
    landed != deduplicated
    or deduplicated != labelled + pending
    or labelled != examples + not_seen + landed_for_a_late_action
    or random_candidates != random_slice
