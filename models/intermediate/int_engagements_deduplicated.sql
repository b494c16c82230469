{%- set days = days_of_build() %}

with

engagements as (

    select
        to_date(engaged_at) as day,
        *
    from {{ ref('stg_engagements') }}
    where {{ rebuilt('engaged_at', days, before=attribution_days(), partitioned=false) }}

),

deliveries as (

    select
        *,
        row_number() over (
            partition by event_id
            order by load_id asc, source_file asc, source_row asc
        ) as delivery_rank
    from engagements

),

actions as (

    select
        * except (delivery_rank),
        lag(engaged_at) over (
            partition by request_id, item_id, action
            order by engaged_at asc, event_id asc
        ) as last_engaged_at
    from deliveries
    where delivery_rank = 1

),

-- A second click within the attribution window of the last is the same click: a label asks whether somebody acted.
deduplicated as (

    select * except (last_engaged_at)
    from actions
    where
        (
            last_engaged_at is null
            or engaged_at >= last_engaged_at + make_dt_interval(0, {{ var('attribution_window_hours') }})
        )
        and {{ rebuilt('day', days) }}

)

select {{ files_by_day(days) }} * from deduplicated
