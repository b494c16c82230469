{% macro distribution(feature, kind) -%}
    {%- set number = {'numeric': feature, 'sequence': 'size(' ~ feature ~ ')'}.get(kind, 'null') -%}
    {%- set number = 'cast(' ~ number ~ ' as double)' -%}
    {#- A NaN or an infinity is counted, and kept out of every other figure. -#}
    {%- set finite = 'if(abs(' ~ number ~ ") < double('infinity'), " ~ number ~ ', null)' -%}
    {%- set missing = 'size(' ~ feature ~ ') = 0' if kind == 'sequence' else feature ~ ' is null' -%}
    {#- Every half per cent; a constant, because percentile_approx asks for one. -#}
    {%- set levels = [] -%}
    {%- for level in range(201) -%} {%- do levels.append(level / 200) -%} {%- endfor -%}
    struct(
        '{{ feature }}' as feature,
        '{{ kind }}' as kind,
        count(*) as examples,
        count_if({{ missing }}) as missing,
        count_if(not abs({{ number }}) < double('infinity')) as not_finite,
        approx_count_distinct({{ 'null' if kind == 'numeric' else feature }}) as distinct_values,
        avg({{ finite }}) as mean,
        stddev({{ finite }}) as standard_deviation,
        min({{ finite }}) as minimum,
        max({{ finite }}) as maximum,
        percentile_approx({{ finite }}, array({{ levels | join(', ') }})) as quantiles,
        corr({{ finite }}, acted) as acted_correlation,
        corr(if({{ missing }}, 1, 0), acted) as missing_acted_correlation
    )
{%- endmacro %}
