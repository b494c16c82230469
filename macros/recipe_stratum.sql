{% macro recipe_stratum(recipe) -%}
    case
        when traffic = 'random' and user_slice != 'train' then null
        {%- for rule in recipe['rules'] %}
        when {{ "traffic != 'random' and " if rule['column'] != 'traffic' }}{{ recipe_condition(rule) }}
            then {{ quoted_list([rule['name']]) }}
        {%- endfor %}
        when traffic = 'random' then {{ "'random_traffic'" if recipe['random_traffic']['share'] > 0 else 'null' }}
        else 'otherwise'
    end
{%- endmacro %}
