{%- set days = days_of_build() %}

with

examples as (

    select * from {{ ref('examples') }}
    where {{ rebuilt('day', days) }}

),

occurrences as (

    select
        day,
        acted,
        -- Columns feature and value: one row for each categorical feature, and for each entry of a sequence.
        inline({{ value_entries(ranker_features()) }})  -- noqa: AL03
    from examples

),

counts as (

    select
        day,
        feature,
        value,
        count(*) as examples,
        sum(acted) as acted
    from occurrences
    where value is not null
    group by day, feature, value

),

ranked as (

    select
        *,
        row_number() over (partition by day, feature order by examples desc, value asc) as place
    from counts

),

commonest as (

    select
        day,
        feature,
        value,
        examples,
        acted,
        place
    from ranked
    where place <= 200

)

select {{ files_by_day(days) }} * from commonest
