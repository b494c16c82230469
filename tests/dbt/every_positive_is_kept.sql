-- Examples with an action that may train by a recipe and are not in its sample, of the days that were built again.
{%- set days = rebuilt_days() %}

with

examples as (

    select * from {{ ref('examples') }}
    where {{ rebuilt('day', days) }}

),

training_examples as (

    select * from {{ ref('training_examples') }}
    where {{ rebuilt('day', days, partitioned=false) }}

),

sampled as (

    select * from {{ ref('int_examples_sampled') }}
    where {{ rebuilt('day', days) }}

),

kept as (

    select
        recipe,
        event_id
    from training_examples

    union all

    select
        recipe,
        event_id
    from sampled
    where not {{ recipe_is_materialised() }}

),

may_train as (

    {% for name, recipe in var('recipes').items() -%}
        {%- set rules = recipe['rules'] | selectattr('column', 'equalto', 'traffic') | map(attribute='in') | list -%}
        {%- set random_trains = recipe['random_traffic']['share'] > 0 or 'random' in rules | sum(start=[]) -%}
        select
            {{ quoted_list([name]) }} as recipe,
            event_id,
            traffic,
            user_slice
        from examples
        where acted = 1 and (traffic = 'policy' or {{ "user_slice = 'train'" if random_trains else 'false' }})
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

dropped as (

    select may_train.*
    from may_train
    left anti join kept
        on
            may_train.recipe = kept.recipe
            and may_train.event_id = kept.event_id

)

select * from dropped
