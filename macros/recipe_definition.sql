{% macro recipe_definition(recipe) -%}
    {#- As text, what decides which rows the recipe keeps; Recipe.definition in lakehouse/recipes.py writes the same. -#}
    {%- set rules = [] -%}
    {%- for rule in recipe['rules'] -%}
        {%- do rules.append([
            rule['name'],
            rule['column'],
            (rule['in'] | list) if 'in' in rule else none,
            (rule['at_least'] | float) if 'at_least' in rule else none,
            (rule['below'] | float) if 'below' in rule else none,
            rule['keep'] | float,
        ]) -%}
    {%- endfor -%}
    {{ [rules, recipe['otherwise'] | float, recipe['random_traffic']['share'] | float] }}
{%- endmacro %}
