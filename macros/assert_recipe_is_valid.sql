{% macro assert_recipe_is_valid(name, recipe) %}
    {%- set where = "Recipe '" ~ name ~ "'" -%}
    {%- set columns = ['user_segment', 'content_type', 'surface', 'country', 'gender'] -%}

    {%- if recipe is not mapping -%}
        {{ exceptions.raise_compiler_error(
            where ~ " does not exist; `recipes` in dbt_project.yml has: " ~ var('recipes').keys() | join(', ')) }}
    {%- endif -%}
    {%- for key in recipe if key not in ('rules', 'otherwise', 'random_traffic') -%}
        {{ exceptions.raise_compiler_error(
            where ~ " has the key '" ~ key ~ "'; it may have rules, otherwise and random_traffic only") }}
    {%- endfor -%}

    {%- if recipe.get('rules') is none or recipe.get('rules') is string or recipe.get('rules') is not sequence -%}
        {{ exceptions.raise_compiler_error(where ~ " has no list of rules; it may be empty: rules: []") }}
    {%- endif -%}

    {%- set seen = [] -%}
    {%- for rule in recipe['rules'] -%}
        {%- set rule_name = rule.get('name', 'number ' ~ loop.index) -%}
        {%- set where_rule = where ~ ", rule '" ~ rule_name ~ "'" -%}
        {%- for key in ('name', 'column', 'in', 'keep') if key not in rule -%}
            {{ exceptions.raise_compiler_error(where_rule ~ " lacks '" ~ key ~ "'") }}
        {%- endfor -%}
        {%- for key in rule if key not in ('name', 'column', 'in', 'keep') -%}
            {{ exceptions.raise_compiler_error(where_rule ~ " has the key '" ~ key ~ "', which means nothing here") }}
        {%- endfor -%}
        {%- if rule_name in seen + ['otherwise', 'random_traffic'] -%}
            {{ exceptions.raise_compiler_error(where_rule ~ " has a name that is taken; names must be unique") }}
        {%- endif -%}
        {%- if rule['column'] not in columns -%}
            {{ exceptions.raise_compiler_error(
                where_rule ~ " has column '" ~ rule['column'] ~ "'; it must be one of " ~ columns | join(', ')) }}
        {%- endif -%}
        {%- if rule['in'] is string or rule['in'] is not sequence or rule['in'] is mapping or not rule['in'] -%}
            {{ exceptions.raise_compiler_error(
                where_rule ~ " has in: " ~ rule['in'] ~ "; it must be a list of at least one value") }}
        {%- endif -%}
        {%- do assert_probability(where_rule ~ ", keep", rule['keep']) -%}
        {%- do seen.append(rule_name) -%}
    {%- endfor -%}

    {%- do assert_probability(where ~ ", otherwise", recipe.get('otherwise')) -%}
    {%- set share = recipe.get('random_traffic', {}).get('share') -%}
    {%- if share is not number or share < 0 or share >= 1 -%}
        {{ exceptions.raise_compiler_error(
            where ~ ", random_traffic.share is " ~ share ~ "; it must lie in [0, 1)") }}
    {%- endif -%}
{% endmacro %}
