{%- set days = days_of_build() %}

with

requests as (

    select
        to_date(served_at) as day,
        *
    from {{ ref('stg_requests') }}
    where {{ rebuilt('served_at', days, partitioned=false) }}

),

-- Who asks twice under one name is answered alike, and is one request.
ranked as (

    select
        *,
        row_number() over (
            partition by request_id
            order by served_at asc, load_id asc, source_file asc, source_row asc
        ) as answer_rank
    from requests

),

deduplicated as (

    select * except (answer_rank)
    from ranked
    where answer_rank = 1

)

select {{ files_by_day(days) }} * from deduplicated
