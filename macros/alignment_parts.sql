{% macro alignment_parts(number) -%}
    {#- Of one request: how place and number vary together, and the variance of that if the places were permuted. -#}
    {%- set place = 'if(' ~ number ~ ' is null, null, place)' -%}
    regr_sxy({{ place }}, {{ number }}) as {{ number }}_covariation,
    if(
        regr_count({{ place }}, {{ number }}) > 1,
        regr_sxx({{ place }}, {{ number }}) * regr_syy({{ place }}, {{ number }})
        / (regr_count({{ place }}, {{ number }}) - 1),
        0
    ) as {{ number }}_permuted
{%- endmacro %}
