{{ config(severity='warn') }}

{%- set days = rebuilt_days() -%}

-- Requests that another arm answered than the one that the draws give the user. It spoils experiments and canaries, but
-- no training set, and so stops no retrain. Of the days that this run built again.
with

requests as (

    select * from {{ ref('int_requests_answered') }}
    where {{ rebuilt('day', days) }}

),

misassigned as (

    select
        day,
        arm,
        expected_arm,
        count(*) as requests
    from requests
    where arm != expected_arm
    group by day, arm, expected_arm

)

select * from misassigned
