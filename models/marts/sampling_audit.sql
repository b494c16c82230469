{%- set days = days_of_build() %}

with

rates as (

    select * from {{ ref('sampling_rates') }}
    where {{ rebuilt('day', days, partitioned=false) }}

),

training_examples as (

    select * from {{ ref('training_examples') }}
    where {{ rebuilt('day', days, partitioned=false) }}

),

sampled as (

    select * from {{ ref('int_examples_sampled') }}
    where {{ rebuilt('day', days) }}

),

-- Of a materialised recipe what lies in the table, of another what a reader would get.
kept as (

    select
        day,
        recipe,
        stratum,
        acted
    from training_examples

    union all

    select
        day,
        recipe,
        stratum,
        acted
    from sampled
    where not {{ recipe_is_materialised() }}

),

taken as (

    select
        day,
        recipe,
        stratum,
        count(*) as rows_out,
        count_if(acted = 0) as negatives_out
    from kept
    group by day, recipe, stratum

),

audited as (

    select
        rates.day,
        rates.recipe,
        rates.stratum,
        rates.rows_in,
        coalesce(taken.rows_out, 0) as rows_out,
        rates.positives_in,
        coalesce(taken.rows_out - taken.negatives_out, 0) as positives_out,
        rates.negatives_in,
        coalesce(taken.negatives_out, 0) as negatives_out,
        rates.sampling_keep as intended_keep
    from rates
    left join taken
        on
            rates.day = taken.day
            and rates.recipe = taken.recipe
            and rates.stratum = taken.stratum

),

measured as (

    select
        *,
        negatives_out / nullif(negatives_in, 0) as realised_keep,
        (negatives_out - negatives_in * intended_keep)
        / nullif(sqrt(negatives_in * intended_keep * (1 - intended_keep)), 0) as z_score
    from audited

)

select {{ files_by_day(days) }} * from measured
