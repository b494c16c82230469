{% macro makes_an_example(engagement) -%}
    {#-
        Whether an engagement carries what makes an example of an impression that did not land. Random traffic lands
        whole, so what is missing of it is an error, not a decision of the collector. An action outside the window makes
        none: it would be no positive, and its day might lie before all days that a build looks at.
    -#}
    {{ engagement }}.traffic = 'policy'
    and {{ engagement }}.served_at is not null
    and {{ engagement }}.position is not null
    and {{ engagement }}.surface is not null
    and {{ engagement }}.features is not null
    and {{ engagement }}.logging_probability is not null
    and {{ engagement }}.engaged_at >= {{ engagement }}.served_at
    and {{ engagement }}.engaged_at
    < {{ engagement }}.served_at + make_dt_interval(0, {{ var('attribution_window_hours') }})
{%- endmacro %}
