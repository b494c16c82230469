{% macro assert_recipe_is_valid(name, recipe) %}
    {%- set where = "Recipe '" ~ name ~ "'" -%}
    {%- set keys = ['materialised', 'rules', 'otherwise', 'random_traffic'] -%}

    {%- if recipe is not mapping -%}
        {{ exceptions.raise_compiler_error(
            where ~ " does not exist; `recipes` in dbt_project.yml has: " ~ var('recipes').keys() | join(', ')) }}
    {%- endif -%}
    {%- for key in recipe if key not in keys -%}
        {{ exceptions.raise_compiler_error(
            where ~ " has the key '" ~ key ~ "'; it may have " ~ keys | join(', ') ~ " only") }}
    {%- endfor -%}
    {%- if recipe.get('materialised') is not boolean -%}
        {{ exceptions.raise_compiler_error(
            where ~ ", materialised is " ~ recipe.get('materialised') ~ "; it must be true or false") }}
    {%- endif -%}

    {%- if recipe.get('rules') is none or recipe.get('rules') is string or recipe.get('rules') is not sequence -%}
        {{ exceptions.raise_compiler_error(where ~ " has no list of rules; it may be empty: rules: []") }}
    {%- endif -%}
    {%- set seen = ['otherwise', 'random_traffic'] -%}
    {%- for rule in recipe['rules'] -%}
        {%- if rule is not mapping -%}
            {{ exceptions.raise_compiler_error(where ~ ", rule number " ~ loop.index ~ " is " ~ rule ~ "; it must have "
                ~ "name, column, a condition and keep") }}
        {%- endif -%}
        {%- set where_rule = where ~ ", rule '" ~ rule.get('name', 'number ' ~ loop.index) ~ "'" -%}
        {%- do assert_rule_is_valid(where_rule, rule) -%}
        {%- if rule['name'] in seen -%}
            {{ exceptions.raise_compiler_error(where_rule ~ " has a name that is taken; names must be unique") }}
        {%- endif -%}
        {%- do seen.append(rule['name']) -%}
    {%- endfor -%}

    {%- do assert_probability(where ~ ", otherwise", recipe.get('otherwise')) -%}
    {%- set random = recipe.get('random_traffic') -%}
    {%- set share = random.get('share') if random is mapping else none -%}
    {%- if share is not number or share is boolean or share < 0 or share >= 1 -%}
        {{ exceptions.raise_compiler_error(
            where ~ ", random_traffic.share is " ~ share ~ "; it must lie in [0, 1)") }}
    {%- endif -%}
    {%- set weight = random.get('weight', 1) -%}
    {%- if weight is not number or weight is boolean or weight <= 0 -%}
        {{ exceptions.raise_compiler_error(
            where ~ ", random_traffic.weight is " ~ weight ~ "; it must lie above 0") }}
    {%- endif -%}
    {%- for key in random if key not in ['share', 'weight'] -%}
        {{ exceptions.raise_compiler_error(
            where ~ ", random_traffic has the key '" ~ key ~ "'; it may have share and weight only") }}
    {%- endfor -%}
{% endmacro %}
