{% macro recipes_definition() -%}
    {%- set definitions = {} -%}
    {%- for name, recipe in var('recipes').items() -%}
        {%- do definitions.update({name: [recipe['materialised'], recipe_definition(recipe)]}) -%}
    {%- endfor -%}
    {{ definitions }}
{%- endmacro %}
