{% macro process_schema_changes(on_schema_change, source_relation, target_relation) %}
    {#- Overrides dbt's, which asks for the columns again and lets a lost one pass: check_columns looks after them. -#}
    {{ return({}) }}
{% endmacro %}
