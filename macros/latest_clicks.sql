{% macro latest_clicks(clicks) -%}
    {#- The last var recent_clicks of a list of clicks in order of time. -#}
    slice({{ clicks }}, greatest(size({{ clicks }}) - {{ var('recent_clicks') }}, 0) + 1, {{ var('recent_clicks') }})
{%- endmacro %}
