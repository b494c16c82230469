{% macro assert_probability(where, value) %}
    {%- if value is not number or value is boolean or value <= 0 or value > 1 -%}
        {{ exceptions.raise_compiler_error(where ~ " is " ~ value ~ "; it must lie in (0, 1]") }}
    {%- endif -%}
{% endmacro %}
