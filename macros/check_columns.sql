{% macro check_columns(source, target) %}
    {#-
        Bring the table's columns up to the model's before days of it are replaced: a new one is added at the end. Stop if
        the model lost a column or changed a type, for inserting by name would leave nulls, or cast.
    -#}
    {%- set ours = {} -%}
    {%- for column in adapter.get_columns_in_relation(source) -%}
        {%- do ours.update({column.name: column}) -%}
    {%- endfor -%}
    {%- set theirs = {} -%}
    {%- for column in adapter.get_columns_in_relation(target) -%}
        {%- do theirs.update({column.name: column}) -%}
    {%- endfor -%}
    {%- for relation, columns in [(source, ours), (target, theirs)] if columns == {} -%}
        {#- dbt takes a failed `describe` for a table without columns. -#}
        {{ exceptions.raise_compiler_error(
            "the catalogue names no column of " ~ relation ~ ". Nothing was changed. Run this again") }}
    {%- endfor -%}
    {%- set remedy = ". Build it anew, and what follows: dbt build --full-refresh --select " ~ model.name ~ "+" -%}
    {%- for name, column in theirs.items() -%}
        {%- if name not in ours -%}
            {{ exceptions.raise_compiler_error(
                target ~ " has the column " ~ name ~ ", which the model no longer gives" ~ remedy) }}
        {%- elif ours[name].dtype != column.dtype -%}
            {{ exceptions.raise_compiler_error(
                target ~ "." ~ name ~ " is " ~ column.dtype ~ ", and the model now gives " ~ ours[name].dtype ~ remedy) }}
        {%- endif -%}
    {%- endfor -%}
    {%- set added = ours.values() | rejectattr('name', 'in', theirs) | list -%}
    {#- dbt writes the type into `alter`, and `this` has none. -#}
    {%- if added -%} {%- do alter_relation_add_remove_columns(target.incorporate(type='table'), added, none) -%} {%- endif -%}
{% endmacro %}
