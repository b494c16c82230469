{% macro alignment(number) -%}
    {#- The z-value of the covariation of place and number within requests; about 0 ± 1 where the order is random. -#}
    round(try_divide(sum({{ number }}_covariation), sqrt(sum({{ number }}_permuted))), 9)
{%- endmacro %}
