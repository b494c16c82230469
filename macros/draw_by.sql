{% macro draw_by(id, salt) -%}
    {#- 53 bits of the hash, so that every value is exact and lies in [0, 1). -#}
    shiftrightunsigned(xxhash64(concat({{ salt }}, '/', coalesce(cast({{ id }} as string), ''))), 11) * pow(2, -53)
{%- endmacro %}
