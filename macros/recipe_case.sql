{% macro recipe_case(recipe, values) -%}
    case
        when traffic = 'random' and user_slice != 'train' then null
        {%- for rule in recipe['rules'] %}
        when {{ "traffic != 'random' and " if rule['column'] != 'traffic' }}{{ recipe_condition(rule) }}
            then {{ values[rule['name']] }}
        {%- endfor %}
        when traffic = 'random' then {{ values['random_traffic'] if recipe['random_traffic']['share'] > 0 else 'null' }}
        else {{ values['otherwise'] }}
    end
{%- endmacro %}
