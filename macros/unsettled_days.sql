{% macro unsettled_days() %}
    {#- {first_day, last_day} after what the totals of users, items and categories have settled, as text or none. -#}
    {%- set days = {'first_day': none, 'last_day': none} -%}
    {#- Before the first build there is no table to ask, and dbt compile and dbt docs work all the same. -#}
    {%- if execute and load_relation(ref('int_user_totals')) is not none -%}
        {%- set settled = 'select cast(date_add(max(through_day), 1) as string) from ' ~ ref('int_user_totals') -%}
        {%- do days.update({'first_day': run_query(settled).rows[0][0]}) -%}
    {%- endif -%}
    {{ return(days) }}
{% endmacro %}
