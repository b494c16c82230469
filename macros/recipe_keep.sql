{% macro recipe_keep(recipe, stratum) -%}
    case {{ stratum }}
        when 'random_traffic' then null
        {%- for rule in recipe['rules'] %}
        when {{ quoted_list([rule['name']]) }} then cast({{ rule['keep'] }} as double)
        {%- endfor %}
        else cast({{ recipe['otherwise'] }} as double)
    end
{%- endmacro %}
