{% macro smoothed_rate(clicks, exposures, prior) -%}
    ({{ clicks }} + {{ var('click_rate_prior_weight') }} * cast({{ prior }} as double))
    / ({{ exposures }} + {{ var('click_rate_prior_weight') }})
{%- endmacro %}
