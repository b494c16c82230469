with

examples as (

    select * from {{ ref('int_examples_stratified') }}

),

training_examples as (

    select * from {{ ref('training_examples') }}

),

offered as (

    select
        day,
        recipe,
        stratum,
        count(*) as rows_in,
        count_if(acted = 0) as negatives_in,
        max(sampling_keep) as intended_keep
    from examples
    group by day, recipe, stratum

),

taken as (

    select
        day,
        recipe,
        stratum,
        count(*) as rows_out,
        count_if(acted = 0) as negatives_out
    from training_examples
    group by day, recipe, stratum

),

audited as (

    select
        offered.day,
        offered.recipe,
        offered.stratum,
        offered.rows_in,
        coalesce(taken.rows_out, 0) as rows_out,
        offered.rows_in - offered.negatives_in as positives_in,
        coalesce(taken.rows_out - taken.negatives_out, 0) as positives_out,
        offered.negatives_in,
        coalesce(taken.negatives_out, 0) as negatives_out,
        offered.intended_keep
    from offered
    left join taken
        on
            offered.day = taken.day
            and offered.recipe = taken.recipe
            and offered.stratum = taken.stratum

),

measured as (

    select
        *,
        negatives_out / nullif(negatives_in, 0) as realised_keep,
        (negatives_out - negatives_in * intended_keep)
        / nullif(sqrt(negatives_in * intended_keep * (1 - intended_keep)), 0) as z_score
    from audited

)

select * from measured
