{% macro draw(id, salt) -%}
    {{ draw_by(id, "'" ~ salt ~ "'") }}
{%- endmacro %}
