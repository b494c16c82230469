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

),

statistics as (

    select
        day,
        feature,
        kind,
        examples,
        missing,
        distinct_values,
        mean,
        standard_deviation,
        minimum,
        quantiles[10] as percentile_5,
        quantiles[100] as median,
        quantiles[190] as percentile_95,
        maximum,
        not_finite,
        quantiles,
        acted_correlation,
        missing_acted_correlation
    from features

)

select {{ files_by_day(days) }} * from statistics
