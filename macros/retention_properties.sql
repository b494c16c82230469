{% macro retention_properties() -%}
    'delta.logRetentionDuration' = 'interval 365 days',
    'delta.deletedFileRetentionDuration' = 'interval 365 days',
    'delta.enableDeletionVectors' = 'false',
    'delta.enableExpiredLogCleanup' = 'false'
{%- endmacro %}
