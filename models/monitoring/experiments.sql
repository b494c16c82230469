{{ config(materialized='view') }}

with

experiments as (

    select * from {{ source('ops', 'experiments') }}

),

results as (

    select * from {{ source('ops', 'experiment_results') }}

),

told as (

    select
        experiments.experiment,
        experiments.kind,
        experiments.treatment_release,
        experiments.control_release,
        experiments.control_share,
        experiments.began_at,
        experiments.ended_at,
        experiments.planned_days,
        results.day,
        results.metric,
        results.segment,
        results.treatment,
        results.control,
        results.lift,
        results.error,
        results.lower,
        results.upper,
        results.variance_removed,
        results.treatment_users,
        results.control_users,
        results.sample_ratio_odds,
        results.sample_ratio_alarm,
        results.verdict,
        results.reason
    from experiments
    inner join results on experiments.experiment = results.experiment

)

select * from told
