{% macro arm(user_id, salt, shares) -%}
    {%- set drawn = draw(user_id, salt) -%}
    {%- set last = shares | list | last -%}
    {%- set ends = namespace(end=0) -%}
    case
        {%- for name, share in shares.items() if name != last %}
        {%- set ends.end = ends.end + share %}
        when {{ drawn }} < cast('{{ ends.end }}' as double) then '{{ name }}'
        {%- endfor %}
        else '{{ last }}'
    end
{%- endmacro %}
