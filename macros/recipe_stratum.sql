{% macro recipe_stratum(recipe) -%}
    case
        when traffic = 'random' then 'random_traffic'
        {%- for rule in recipe['rules'] %}
        when {{ rule['column'] }} in ({{ quoted_list(rule['in']) }}) then '{{ rule['name'] }}'
        {%- endfor %}
        else 'otherwise'
    end
{%- endmacro %}
