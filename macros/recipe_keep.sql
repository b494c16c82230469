{% macro recipe_keep(recipe, stratum, random_keep) -%}
    case {{ stratum }}
        when 'random_traffic' then {{ random_keep }}
        {%- for rule in recipe['rules'] %}
        when '{{ rule['name'] }}' then cast({{ rule['keep'] }} as double)
        {%- endfor %}
        else cast({{ recipe['otherwise'] }} as double)
    end
{%- endmacro %}
