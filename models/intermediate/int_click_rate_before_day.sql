with

exposures as (

    select * from {{ ref('int_exposures_deduplicated') }}

),

engagements as (

    select * from {{ ref('int_engagements_deduplicated') }}

),

events as (

    select
        to_date(served_at) as day,
        if(impressed, 1, 0) as exposures,
        0 as clicks
    from exposures

    union all

    select
        to_date(engaged_at) as day,
        0 as exposures,
        1 as clicks
    from engagements
    where action = 'click'

),

days as (

    select
        day,
        sum(exposures) as exposures,
        sum(clicks) as clicks
    from events
    group by day

),

totals_before as (

    select
        day,
        coalesce(sum(exposures) over days_before, 0) as exposures,
        coalesce(sum(clicks) over days_before, 0) as clicks
    from days
    window days_before as (order by day rows between unbounded preceding and 1 preceding)

),

rates as (

    select
        day,
        exposures,
        clicks,
        {{ smoothed_rate('clicks', 'exposures', var('click_rate_at_start')) }} as click_rate
    from totals_before

)

select * from rates
