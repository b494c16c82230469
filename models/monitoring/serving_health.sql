{%- set days = days_of_build() %}

with

requests as (

    select * from {{ ref('int_requests_answered') }}
    where {{ rebuilt('day', days) }}

),

hours as (

    select
        day,
        release_id,
        date_trunc('hour', served_at) as hour,
        count(*) as requests,
        count_if(traffic = 'random') as random_requests,
        count_if(failed) as failed,
        count(distinct user_id) as users,
        count_if(is_closed) as closed_requests,
        coalesce(sum(engaged), 0) as engaged_requests,
        -- Exact up to 10,000 different values.
        percentile_approx(latency_ms, array(0.5, 0.95, 0.99), 10000) as latency_ms,
        percentile_approx(ranked_ms, array(0.5, 0.95, 0.99), 10000) as ranked_ms,
        max(memory_bytes) as memory_bytes
    from requests
    group by day, release_id, date_trunc('hour', served_at)

),

health as (

    select
        day,
        release_id,
        hour,
        requests,
        random_requests,
        failed,
        users,
        closed_requests,
        engaged_requests,
        engaged_requests / nullif(closed_requests, 0) as engagement_rate,
        latency_ms[0] as latency_ms_p50,
        latency_ms[1] as latency_ms_p95,
        latency_ms[2] as latency_ms_p99,
        ranked_ms[0] as ranked_ms_p50,
        ranked_ms[1] as ranked_ms_p95,
        ranked_ms[2] as ranked_ms_p99,
        memory_bytes
    from hours

)

select {{ files_by_day(days) }} * from health
