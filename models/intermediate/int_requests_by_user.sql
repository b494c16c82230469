{%- set days = days_of_build() %}

with

requests as (

    select * from {{ ref('int_requests_answered') }}
    where {{ rebuilt('day', days) }}

),

users as (

    select
        day,
        user_id,
        pointer_version,
        arm,
        is_of_canary,
        count(*) as requests,
        sum(engaged) as engaged,
        sum(clicked) as clicked,
        sum(hidden) as hidden,
        sum(dwell_s) as dwell_s
    from requests
    where is_closed and traffic = 'policy'
    group by day, user_id, pointer_version, arm, is_of_canary

)

select {{ files_by_day(days) }} * from users
