{% macro distribution(feature, kind) -%}
    {%- set number = {'numeric': feature, 'sequence': 'size(' ~ feature ~ ')'}.get(kind, 'null') -%}
    {%- set number = 'cast(' ~ number ~ ' as double)' -%}
    struct(
        '{{ feature }}' as feature,
        '{{ kind }}' as kind,
        count(*) as examples,
        count_if({{ 'size(' ~ feature ~ ') = 0' if kind == 'sequence' else feature ~ ' is null' }}) as missing,
        approx_count_distinct({{ 'null' if kind == 'numeric' else feature }}) as distinct_values,
        avg({{ number }}) as mean,
        stddev({{ number }}) as standard_deviation,
        min({{ number }}) as minimum,
        -- One expression, and so one sketch, for all three.
        percentile_approx({{ number }}, array(0.05, 0.5, 0.95))[0] as percentile_5,
        percentile_approx({{ number }}, array(0.05, 0.5, 0.95))[1] as median,
        percentile_approx({{ number }}, array(0.05, 0.5, 0.95))[2] as percentile_95,
        max({{ number }}) as maximum
    )
{%- endmacro %}
