{% macro refuse_to_start_anew() %}
    {#-
        Before a table is made: stop if dbt was not told of it, but its folder holds a Delta log. A listing that fails
        can read as "no tables", and dbt would then build an incremental model from nothing, or drop a table with the
        versions that releases pin. The folders are asked, not the catalogue; that of the table of builds is always there,
        because Spark refuses a path that finds nothing.
    -#}
    {%- if execute and config.get('materialized') in ('incremental', 'table') -%}
        {%- set listed = load_relation(this) -%}
        {%- if listed is none or listed.is_view or not listed.is_delta -%}
            {%- set folders = [] -%}
            {%- for table in (this, builds()) -%}
                {%- set schema, name = (table | string | trim | replace('`', '')).split('.') -%}
                {%- set locations = graph.setdefault('schema_locations', {}) -%}
                {%- if schema not in locations -%}
                    {%- set about = run_query('describe schema ' ~ schema).rows -%}
                    {%- do locations.update({
                        schema: about | selectattr(0, 'equalto', 'Location') | map(attribute=1) | first
                    }) -%}
                {%- endif -%}
                {%- do folders.append((locations[schema] ~ '/' ~ name).split('/')) -%}
            {%- endfor -%}
            {%- set shared = [] -%}
            {%- for ours, other in zip(folders[0], folders[1]) -%}
                {%- if ours == other and shared | length == loop.index0 -%} {%- do shared.append(ours) -%} {%- endif -%}
            {%- endfor -%}
            {%- set folder = folders[0] | join('/') -%}
            {%- set either = [folders[0][shared | length:] | join('/'), folders[1][shared | length:] | join('/')] -%}
            {%- set found = run_query(
                "select 1 from text.`" ~ shared | join('/') ~ "/{" ~ either | join(',') ~ "}/_delta_log/*.json` "
                ~ "where contains(_metadata.file_path, '/" ~ either[0] ~ "/_delta_log/') limit 1"
            ).rows -%}
            {%- if found -%}
                {{ exceptions.raise_compiler_error(
                    this ~ " has a Delta log in " ~ folder ~ ", and the catalogue did not list it as a Delta table: it would "
                    ~ "be started anew. Nothing was changed. Run this again; if it says the same again, "
                    ~ "`stillhouse repair " ~ this.schema ~ "." ~ this.identifier ~ "` brings the table back") }}
            {%- endif -%}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
