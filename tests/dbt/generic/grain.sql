{% test grain(model, columns) %}
    -- Rows that share a key, or lack a part of it.
    select
        {{ columns | join(', ') }},
        count(*) as num_rows
    from {{ model }}
    group by {{ columns | join(', ') }}
    having count(*) > 1 or {{ columns | join(' is null or ') }} is null
{% endtest %}
