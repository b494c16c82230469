{%- set recipes = var('recipes') %}

with

examples as (

    select * from {{ ref('examples') }}

),

stratified as (

    select
        {%- for recipe in recipes.values() %}
        {{ recipe_stratum(recipe) }} as stratum_{{ loop.index }},
        {%- endfor %}
        day,
        traffic,
        acted
    from examples

),

-- The one pass over the examples, for all recipes together; what follows works on a few rows a day.
counted as (

    select
        {%- for recipe in recipes.values() %}
        stratum_{{ loop.index }},
        {%- endfor %}
        day,
        traffic,
        acted,
        count(*) as num_rows
    from stratified
    group by all

),

by_recipe as (

    select
        day,
        traffic,
        acted,
        num_rows,
        -- The fields of the structs become the columns, under their own names.
        inline(array(
            {%- for name, recipe in recipes.items() %}
            {%- set stratum = 'stratum_' ~ loop.index %}
            struct(
                {{ quoted_list([name]) }} as recipe,
                {{ stratum }} as stratum,
                {{ quoted_list([recipe_definition(recipe)]) }} as definition,
                {{ recipe_keep(recipe, stratum) }} as rule_keep,
                cast({{ recipe['random_traffic']['share'] }} as double) as random_share
            ){{ ',' if not loop.last }}
            {%- endfor %}
        ))  -- noqa: AL03
    from counted

),

strata as (

    select
        day,
        recipe,
        stratum,
        max(definition) as definition,
        max(rule_keep) as rule_keep,
        max(random_share) as random_share,
        sum(num_rows) as rows_in,
        sum(if(acted = 1, num_rows, 0)) as positives_in,
        sum(if(acted = 1, 0, num_rows)) as negatives_in,
        -- Decimals, because their sum is the same in any order: a keep probability must not depend on the partitioning.
        sum(
            cast(if(traffic = 'random', 0, num_rows) as decimal(18, 0))
            * cast(if(acted = 1, 1.0, coalesce(rule_keep, 1.0)) as decimal(18, 17))
        ) as policy_rows_expected
    from by_recipe
    where stratum is not null
    group by day, recipe, stratum

),

days as (

    select
        *,
        cast(sum(policy_rows_expected) over (partition by day, recipe) as double) as policy_rows_of_day
    from strata

),

-- Kept rows of random traffic shall be share / (1 - share) of the others of its day. Its positives all stay; its
-- negatives are thinned to fill the rest, never below 1 in 100, so that a correction never weighs one row as more than
-- a hundred.
rated as (

    select
        day,
        recipe,
        stratum,
        rows_in,
        positives_in,
        negatives_in,
        if(
            stratum = 'random_traffic',
            least(1.0, greatest(
                0.01,
                coalesce(
                    (random_share / (1 - random_share) * policy_rows_of_day - positives_in) / nullif(negatives_in, 0),
                    1.0
                )
            )),
            rule_keep
        ) as sampling_keep,
        definition
    from days

)

select * from rated
