{% macro assert_recipes_are_valid() %}
    {#- All of them, also those that nothing is made by yet; and the one to train on has to be among them. -#}
    {%- for name in var('recipes').keys() | list + [var('recipe')] -%}
        {%- do assert_recipe_is_valid(name, var('recipes').get(name)) -%}
    {%- endfor -%}
{% endmacro %}
