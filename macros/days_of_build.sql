{% macro days_of_build() %}
    {#- The days that this model builds again in this run; all days where its table is not there yet. -#}
    {%- set days = rebuilt_days() -%}
    {%- if not is_incremental() -%} {%- do days.update({'first_day': none, 'last_day': none}) -%} {%- endif -%}
    {{ return(days) }}
{% endmacro %}
