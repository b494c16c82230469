{% test every_row(model, conditions) %}
    -- Conditions that some row breaks, with the number of such rows; a condition that is null counts as broken.
    with

    counted as (

        select
            {%- for name, condition in conditions.items() %}
            count_if(not coalesce({{ condition }}, false)) as {{ name }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ model }}

    ),

    broken as (

        select
            stack(
                {{ conditions | length }}
                {%- for name in conditions %},
                '{{ name }}', {{ name }}
                {%- endfor %}
            ) as (broken_condition, num_rows)
        from counted

    )

    select * from broken
    where num_rows > 0
{% endtest %}
