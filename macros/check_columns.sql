{% macro check_columns(source, target) %}
    {#-
        Stop before a day is replaced if the model lost a column or changed a type: inserting by name would leave nulls,
        or cast. New columns have been added at the end by then.
    -#}
    {%- set ours = {} -%}
    {%- for column in adapter.get_columns_in_relation(source) -%}
        {%- do ours.update({column.name: column.dtype}) -%}
    {%- endfor -%}
    {%- for column in adapter.get_columns_in_relation(target) -%}
        {%- if column.name not in ours -%}
            {{ exceptions.raise_compiler_error(
                target ~ " has the column " ~ column.name ~ ", which the model no longer gives. Build it anew, and what "
                ~ "follows: dbt build --full-refresh --select " ~ model.name ~ "+") }}
        {%- elif ours[column.name] != column.dtype -%}
            {{ exceptions.raise_compiler_error(
                target ~ "." ~ column.name ~ " is " ~ column.dtype ~ ", and the model now gives " ~ ours[column.name]
                ~ ". Build it anew, and what follows: dbt build --full-refresh --select " ~ model.name ~ "+") }}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}
