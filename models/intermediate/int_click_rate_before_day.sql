{{ config(partition_by=none) }}

{%- set days = days_of_build() %}

with

item_days as (

    select * from {{ ref('int_items_by_day') }}
    where {{ rebuilt('day', days) }}

),

settled as (

    select
        coalesce(sum(exposures), 0) as exposures,
        coalesce(sum(clicks), 0) as clicks
    from {{ ref('int_item_totals') }}
    {{ 'where false' if days['first_day'] is none }}

),

totals as (

    select
        day,
        sum(exposures) as exposures,
        sum(clicks) as clicks
    from item_days
    group by day

),

totals_before as (

    select
        totals.day,
        settled.exposures + coalesce(sum(totals.exposures) over days_before, 0) as exposures,
        settled.clicks + coalesce(sum(totals.clicks) over days_before, 0) as clicks
    from totals
    cross join settled
    window days_before as (order by totals.day rows between unbounded preceding and 1 preceding)

),

rates as (

    select
        day,
        exposures,
        clicks,
        {{ smoothed_rate('clicks', 'exposures', var('click_rate_at_start')) }} as click_rate
    from totals_before

)

select {{ files_by_day(days) }} * from rates
