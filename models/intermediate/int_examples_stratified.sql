{{ config(materialized='view') }}

{%- set recipe = var('recipes')[var('recipe')] -%}
{%- set random_share = recipe['random_traffic']['share'] %}

with

examples as (

    select * from {{ ref('examples') }}

),

-- A row of random traffic has one use: what calibrates or evaluates never trains.
eligible as (

    select
        *,
        {{ recipe_stratum(recipe) }} as stratum
    from examples
    where traffic != 'random' or ({{ random_share }} > 0 and user_slice = 'train')

),

ruled as (

    select
        *,
        {{ recipe_keep(recipe, 'stratum', 'cast(null as double)') }} as rule_keep
    from eligible

),

totals as (

    select
        sum(if(traffic = 'random', 0.0, if(acted = 1, 1.0, rule_keep))) as policy_rows_expected,
        sum(if(traffic = 'random' and acted = 1, 1.0, 0.0)) as random_positives,
        sum(if(traffic = 'random' and acted = 0, 1.0, 0.0)) as random_negatives
    from ruled

),

-- Kept rows of random traffic shall be share / (1 - share) of the others. Its positives all stay; its negatives are
-- thinned to fill the rest, never below 1 in 100, so that a correction never weighs one row as more than a hundred.
random_traffic as (

    select
        least(1.0, greatest(
            0.01,
            coalesce(
                ({{ random_share }} / (1 - {{ random_share }}) * policy_rows_expected - random_positives)
                / nullif(random_negatives, 0.0),
                1.0
            )
        )) as random_keep
    from totals

),

stratified as (

    select
        ruled.* except (ruled.rule_keep),
        '{{ var("recipe") }}' as recipe,
        coalesce(ruled.rule_keep, random_traffic.random_keep) as sampling_keep
    from ruled
    cross join random_traffic

),

decided as (

    select
        *,
        acted = 1 or draw < sampling_keep as is_kept,
        if(acted = 1, 1.0, logging_probability * sampling_keep) as keep_probability,
        logging_probability * sampling_keep as negative_keep_probability
    from stratified

)

select * from decided
