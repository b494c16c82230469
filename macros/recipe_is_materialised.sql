{% macro recipe_is_materialised() -%}
    {%- set recipes = var('recipes') -%}
    {%- set names = [] -%}
    {%- for name in recipes if recipes[name]['materialised'] -%}
        {%- do names.append(name) -%}
    {%- endfor -%}
    {{ 'recipe in (' ~ quoted_list(names) ~ ')' if names else 'false' }}
{%- endmacro %}
