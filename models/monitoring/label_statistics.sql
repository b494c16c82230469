{%- set days = days_of_build() %}

with

examples as (

    select * from {{ ref('examples') }}
    where {{ rebuilt('day', days) }}

),

days as (

    select
        day,
        traffic,
        count(*) as examples,
        approx_count_distinct(user_id) as users,
        approx_count_distinct(item_id) as items,
        sum(acted) as acted,
        sum(clicked) as clicked,
        sum(long_clicked) as long_clicked,
        sum(saved) as saved,
        sum(hidden) as hidden,
        avg(acted) as acted_rate,
        avg(clicked) as clicked_rate,
        avg(long_clicked) as long_clicked_rate,
        avg(saved) as saved_rate,
        avg(hidden) as hidden_rate
    from examples
    group by day, traffic

)

select {{ files_by_day(days) }} * from days
