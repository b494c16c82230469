{% macro unsettled_days() %}
    {#- {first_day, last_day} after what the totals of users, items and categories have settled, as text or none. -#}
    {%- set days = {'first_day': none, 'last_day': none} -%}
    {%- if execute -%}
        {%- set settled = 'select cast(date_add(max(through_day), 1) as string) from ' ~ ref('int_user_totals') -%}
        {%- do days.update({'first_day': run_query(settled).rows[0][0]}) -%}
    {%- endif -%}
    {{ return(days) }}
{% endmacro %}
