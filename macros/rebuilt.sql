{% macro rebuilt(column, days, before=0, partitioned=true) -%}
    {#-
        Whether a time or day lies in the days being built again, or up to `before` days earlier.

        A day that tables are partitioned by is compared as text. Spark writes a date as a constant into the code that it
        compiles for a query, and into that of Delta's search for files; then every new day compiles nearly all queries of
        a build anew. Text is no part of the code. Other columns (partitioned=false) are compared as dates, which the
        statistics of files can answer.
    -#}
    {%- set bounds = [] -%}
    {%- if days['first_day'] is not none -%}
        {%- set first_day = modules.datetime.date.fromisoformat(days['first_day'])
            - modules.datetime.timedelta(days=before | int) -%}
        {%- do bounds.append(
            ('cast(' ~ column ~ ' as string) >= ' if partitioned else column ~ ' >= date') ~ "'" ~ first_day ~ "'"
        ) -%}
    {%- endif -%}
    {%- if days['last_day'] is not none -%}
        {%- do bounds.append(
            'cast(' ~ column ~ " as string) <= '" ~ days['last_day'] ~ "'" if partitioned
            else column ~ " < date_add(date'" ~ days['last_day'] ~ "', 1)"
        ) -%}
    {%- endif -%}
    {{ bounds | join(' and ') if bounds else 'true' }}
{%- endmacro %}
