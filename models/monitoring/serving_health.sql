{%- set days = days_of_build() %}

with

requests as (

    select * from {{ ref('int_requests_deduplicated') }}
    where {{ rebuilt('day', days) }}

),

engagements as (

    select distinct
        request_id,
        engaged_at
    from {{ ref('int_engagements_deduplicated') }}
    where {{ rebuilt('day', days) }}

),

engaged as (

    select distinct requests.request_id
    from requests
    inner join engagements
        on
            requests.request_id = engagements.request_id
            and requests.served_at <= engagements.engaged_at
            and engagements.engaged_at
            < requests.served_at + make_dt_interval(0, {{ var('attribution_window_hours') }})

),

hours as (

    select
        requests.day,
        hour(requests.served_at) as hour_of_day,
        requests.release_id,
        count(*) as requests,
        count_if(requests.traffic = 'random') as random_requests,
        count_if(requests.failed) as failed,
        count(engaged.request_id) as engaged,
        round(count(engaged.request_id) / count(*), 9) as engaged_rate,
        count(distinct requests.user_id) as users,
        percentile(requests.latency_ms, 0.5) as latency_ms_p50,
        percentile(requests.latency_ms, 0.95) as latency_ms_p95,
        percentile(requests.latency_ms, 0.99) as latency_ms_p99,
        percentile(requests.ranked_ms, 0.5) as ranked_ms_p50,
        percentile(requests.ranked_ms, 0.95) as ranked_ms_p95,
        percentile(requests.ranked_ms, 0.99) as ranked_ms_p99,
        max(requests.memory_bytes) as memory_bytes
    from requests
    left join engaged on requests.request_id = engaged.request_id
    group by requests.day, hour(requests.served_at), requests.release_id

)

select {{ files_by_day(days) }} * from hours
