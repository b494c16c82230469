{%- set days = days_of_build() %}
{%- set window = "make_dt_interval(0, " ~ var('attribution_window_hours') ~ ")" %}

with

asked as (

    select * from {{ ref('int_requests_deduplicated') }}
    where {{ rebuilt('day', days) }}

),

engagements as (

    select * from {{ ref('int_engagements_deduplicated') }}
    where {{ rebuilt('day', dict(days, last_day=none)) }}

),

pointers as (

    select * from {{ source('ops', 'pointers') }}

),

clock as (

    select max(served_at) as watermark
    from {{ ref('int_exposures_deduplicated') }}
    where {{ rebuilt('day', dict(days, last_day=none)) }}

),

requests as (

    select
        asked.*,
        coalesce(asked.served_at + {{ window }} <= clock.watermark, false) as is_closed
    from asked
    cross join clock

),

actions as (

    select
        requests.request_id,
        max(if(engagements.action = 'click', 1, 0)) as clicked,
        max(if(engagements.action = 'hide', 1, 0)) as hidden,
        sum(if(engagements.action = 'long_click', engagements.value, 0)) as dwell_s
    from requests
    inner join engagements on requests.request_id = engagements.request_id
    where
        engagements.engaged_at >= requests.served_at
        and engagements.engaged_at < requests.served_at + {{ window }}
    group by requests.request_id

),

answered as (

    select
        requests.request_id,
        requests.day,
        requests.user_id,
        requests.surface,
        requests.served_at,
        requests.traffic,
        requests.arm,
        case when pointers.pointer_version is not null then {{ served_arm('requests.user_id', 'pointers') }} end
            as expected_arm,
        -- By the draw alone: users whom a holdout has are asked for it, too, so that both arms can do without them.
        coalesce({{ draw_by('requests.user_id', 'pointers.canary_salt') }} < pointers.canary_share, false)
            as is_of_canary,
        -- Of a failure, the release that failed and not the one that stood in for it.
        coalesce(
            case requests.arm
                when 'canary' then pointers.canary
                when 'holdout' then pointers.holdout
                when 'long-holdout' then pointers.long_holdout
                else pointers.production
            end,
            requests.release_id
        ) as release_id,
        requests.pointer_version,
        requests.failed,
        requests.latency_ms,
        requests.ranked_ms,
        requests.memory_bytes,
        requests.is_closed,
        if(requests.is_closed, if(actions.request_id is null, 0, 1), null) as engaged,
        if(requests.is_closed, coalesce(actions.clicked, 0), null) as clicked,
        if(requests.is_closed, coalesce(actions.hidden, 0), null) as hidden,
        if(requests.is_closed, coalesce(actions.dwell_s, 0), null) as dwell_s
    from requests
    left join pointers on requests.pointer_version = pointers.pointer_version
    left join actions on requests.request_id = actions.request_id

)

select {{ files_by_day(days) }} * from answered
