{% macro recipe_highest_keep(recipe) -%}
    {%- set keeps = {'random_traffic': '1.0D', 'otherwise': 'cast(' ~ recipe['otherwise'] ~ ' as double)'} -%}
    {%- for rule in recipe['rules'] -%}
        {%- do keeps.update({rule['name']: 'cast(' ~ rule['keep'] ~ ' as double)'}) -%}
    {%- endfor -%}
    {{ recipe_case(recipe, keeps) }}
{%- endmacro %}
