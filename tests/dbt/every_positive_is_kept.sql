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
        {%- if var('recipes')[var('recipe')]['random_traffic']['share'] > 0 %}
        and (examples.traffic = 'policy' or examples.user_slice = 'train')
        {%- else %}
        and examples.traffic = 'policy'
        {%- endif %}

)

select * from dropped
