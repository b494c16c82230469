{% macro assert_rule_is_valid(where, rule) %}
    {%- set categories = ['user_segment', 'content_type', 'surface', 'country', 'gender', 'traffic'] -%}
    {%- set ranges = ['item_age_days'] -%}
    {%- set bounds = ['at_least', 'below'] -%}
    {%- set column = rule.get('column') -%}

    {%- for key in ('name', 'column', 'keep') if key not in rule -%}
        {{ exceptions.raise_compiler_error(where ~ " lacks '" ~ key ~ "'") }}
    {%- endfor -%}
    {%- if rule['name'] is not string or not rule['name'] -%}
        {{ exceptions.raise_compiler_error(where ~ ", name is " ~ rule['name'] ~ "; it must be text in quotes") }}
    {%- endif -%}
    {%- if column not in categories + ranges -%}
        {{ exceptions.raise_compiler_error(
            where ~ " has column '" ~ column ~ "'; it must be one of " ~ (categories + ranges) | join(', ')) }}
    {%- endif -%}
    {%- set conditions = ['in'] if column in categories else bounds -%}
    {%- for key in rule if key not in ['name', 'column', 'keep'] + conditions -%}
        {{ exceptions.raise_compiler_error(
            where ~ " has the key '" ~ key ~ "'; on " ~ column ~ " it may have " ~ conditions | join(' and ')) }}
    {%- endfor -%}

    {%- if column in categories -%}
        {%- set values = rule.get('in') -%}
        {%- if values is none or values is string or values is not sequence or values is mapping or not values -%}
            {{ exceptions.raise_compiler_error(
                where ~ " has in: " ~ values ~ "; it must be a list of at least one value") }}
        {%- endif -%}
        {#- YAML reads a bare `no`, the country, as false. -#}
        {%- for value in values if value is not string -%}
            {{ exceptions.raise_compiler_error(
                where ~ " has the value " ~ value ~ " in its list, which is no text; put it in quotes") }}
        {%- endfor -%}
        {%- for value in values if column == 'traffic' and value not in ('policy', 'random') -%}
            {{ exceptions.raise_compiler_error(where ~ " has the value '" ~ value ~ "'; traffic is policy or random") }}
        {%- endfor -%}
    {%- else -%}
        {%- if 'at_least' not in rule and 'below' not in rule -%}
            {{ exceptions.raise_compiler_error(where ~ " has no condition; give at_least, below or both") }}
        {%- endif -%}
        {%- for key in bounds if key in rule and (rule[key] is not number or rule[key] is boolean) -%}
            {{ exceptions.raise_compiler_error(where ~ ", " ~ key ~ " is " ~ rule[key] ~ "; it must be a number") }}
        {%- endfor -%}
        {%- if 'at_least' in rule and 'below' in rule and rule['at_least'] >= rule['below'] -%}
            {{ exceptions.raise_compiler_error(
                where ~ " matches nothing: at_least " ~ rule['at_least'] ~ " and below " ~ rule['below']) }}
        {%- endif -%}
    {%- endif -%}
    {%- do assert_probability(where ~ ", keep", rule['keep']) -%}
{% endmacro %}
