{{ config(materialized='view') }}

with

counts as (

    select * from {{ late_rows() }}

),

builds as (

    select * from {{ builds() }}
    where event = 'complete'

),

outstanding as (

    select counts.*
    from counts
    left anti join builds
        on
            counts.at < builds.at
            and counts.day >= coalesce(builds.first_day, date'0001-01-01')

),

days as (

    select
        stream,
        day,
        sum(num_rows) as num_rows,
        min(at) as first_counted_at
    from outstanding
    group by stream, day

)

select * from days
