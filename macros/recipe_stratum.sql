{% macro recipe_stratum(recipe) -%}
    {%- set names = {} -%}
    {%- for name in recipe['rules'] | map(attribute='name') | list + ['random_traffic', 'otherwise'] -%}
        {%- do names.update({name: quoted_list([name])}) -%}
    {%- endfor -%}
    {{ recipe_case(recipe, names) }}
{%- endmacro %}
