{% macro landed_since(last, stream) -%}
    {#- The rows of a stream that landed since the build `last`; all of them if there is none. -#}
    select * from {{ source('raw', stream) }}
    {%- if last is not none %} where load_id > {{ last[stream ~ '_load'] or 0 }} {%- endif %}
{%- endmacro %}
