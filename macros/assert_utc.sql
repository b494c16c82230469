{% macro assert_utc() %}
    {#- Days and windows are UTC days and windows: in any other session rows would be lost without an error. -#}
    {%- if execute -%}
        {%- set zone = run_query('select current_timezone()').columns[0].values()[0] -%}
        {%- if zone not in ('UTC', 'Etc/UTC') -%}
            {{ exceptions.raise_compiler_error(
                "The Spark session's time zone is " ~ zone ~ ". Set spark.sql.session.timeZone=UTC on the server."
            ) }}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
