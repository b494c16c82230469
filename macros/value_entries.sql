{% macro value_entries(features) -%}
    {%- set arrays = [] -%}
    {%- for feature in features -%}
        {%- if feature['kind'] == 'categorical' -%}
            {%- do arrays.append(
                "array(struct('" ~ feature['name'] ~ "' as feature, cast(" ~ feature['name'] ~ ' as string) as value))'
            ) -%}
        {%- elif feature['kind'] == 'sequence' and not feature['of'] -%}
            {%- do arrays.append(
                'transform(' ~ feature['name'] ~ ", entry -> struct('" ~ feature['name']
                ~ "' as feature, cast(entry as string) as value))"
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    concat({{ arrays | join(', ') or "array(struct('' as feature, '' as value))" }})
{%- endmacro %}
