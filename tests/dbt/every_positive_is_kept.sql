{%- set random_share = var('recipes')[var('recipe')]['random_traffic']['share'] -%}

-- Examples with an action that may train and are not in the training set, whatever the recipe.
with

examples as (

    select * from {{ ref('examples') }}

),

training_examples as (

    select * from {{ ref('training_examples') }}

),

dropped as (

    select
        examples.event_id,
        examples.traffic,
        examples.user_slice
    from examples
    left anti join training_examples on examples.event_id = training_examples.event_id
    where
        examples.acted = 1
        and (examples.traffic = 'policy' or ({{ random_share }} > 0 and examples.user_slice = 'train'))

)

select * from dropped
