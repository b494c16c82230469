{% macro ranker_features() %}
    {#- Known only once every file is parsed, hence `execute`. -#}
    {%- set features = [] -%}
    {%- if execute -%}
        {%- for node in graph.nodes.values() if node.name == 'examples' and node.version == node.latest_version -%}
            {%- for column in node.columns.values() -%}
                {%- set ranker = column.meta.get('ranker', {}) -%}
                {%- if ranker.get('role') == 'feature' or 'feature' in ranker.get('role', []) -%}
                    {%- do features.append({'name': column.name, 'kind': ranker['kind'], 'of': ranker.get('of')}) -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(features) }}
{% endmacro %}
