{{ config(materialized='view') }}

with

examples as (

    select * from {{ ref('examples') }}

),

rates as (

    select
        day,
        recipe,
        stratum,
        sampling_keep
    from {{ ref('sampling_rates') }}

),

-- What any recipe keeps of random traffic on any day, at most: mostly far from all of it.
random_traffic as (

    select max(sampling_keep) as highest_keep
    from rates
    where stratum = 'random_traffic'

),

-- A row without a stratum may not train by that recipe, and finds no rate.
stratified as (

    {% for name, recipe in var('recipes').items() -%}
        {%- set highest_keep = (recipe['rules'] | map(attribute='keep') | list + [recipe['otherwise']]) | max -%}
        select
            *,
            {{ quoted_list([name]) }} as recipe,
            {{ recipe_stratum(recipe) }} as stratum
        from examples
        -- Says no more than the rates do. First in words that a file's statistics can answer, which skips row groups;
        -- then row by row, so that most of what is dropped need not be looked up in the rates. (With `acted = 1 or` in
        -- both, Spark would make one condition of them, and statistics could answer none; draws are below 1.)
        where
            (
                acted = 1
                or draw < cast({{ highest_keep }} as double)
                or traffic = 'random' and draw < (select highest_keep from random_traffic)
            )
            and draw < if(acted = 1, 1.0D, {{ recipe_highest_keep(recipe) }})
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

rated as (

    select
        stratified.*,
        rates.sampling_keep
    from stratified
    inner join rates
        on
            stratified.day = rates.day
            and stratified.recipe = rates.recipe
            and stratified.stratum = rates.stratum

),

sampled as (

    select
        *,
        if(acted = 1, 1.0, logging_probability * sampling_keep) as keep_probability,
        logging_probability * sampling_keep as negative_keep_probability
    from rated
    where acted = 1 or draw < sampling_keep

)

select * from sampled
