{% macro user_slice(user_id) -%}
    {%- set slice_draw = draw(user_id, var('random_slice_salt')) -%}
    {%- set train = var('random_slice_train_share') -%}
    {%- set calibrate = var('random_slice_calibrate_share') -%}
    case
        when {{ slice_draw }} < {{ train }} then 'train'
        when {{ slice_draw }} < {{ train }} + {{ calibrate }} then 'calibrate'
        else 'evaluate'
    end
{%- endmacro %}
