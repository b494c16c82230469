{%- set days = days_of_build() %}

with

examples as (

    select * from {{ ref('examples') }}
    where {{ rebuilt('day', days) }}

),

days as (

    select
        day,
        array(
            {%- for feature in ranker_features() %}
            {{ distribution(feature['name'], feature['kind']) }}{{ ',' if not loop.last }}
            {%- endfor %}
        ) as distributions
    from examples
    group by day

),

features as (

    select
        day,
        -- The fields of the structs become the columns, under their own names.
        inline(distributions)  -- noqa: AL03
    from days

)

select {{ files_by_day(days) }} * from features
