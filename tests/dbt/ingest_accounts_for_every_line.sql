-- Every landed line was loaded, was a duplicate, or is in quarantine, by each load's own count and by what lies there.
with

loads as (

    select * from {{ source('ops', 'ingest_loads') }}

),

quarantine as (

    select * from {{ source('raw', 'quarantine') }}

),

promised as (

    select
        stream,
        sum(landed) as landed,
        sum(loaded) as loaded,
        sum(duplicate) as duplicate,
        sum(quarantined) as quarantined
    from loads
    group by stream

),

loaded as (

    {% for stream in ['exposures', 'engagements', 'users', 'items', 'requests'] -%}
        select
            '{{ stream }}' as stream,
            count(*) as num_rows
        from {{ source('raw', stream) }}
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

quarantined as (

    select
        stream,
        count(*) as num_rows
    from quarantine
    group by stream

),

lost as (

    select
        coalesce(promised.stream, loaded.stream) as stream,
        promised.landed,
        promised.loaded,
        promised.duplicate,
        promised.quarantined,
        loaded.num_rows as rows_in_raw,
        coalesce(quarantined.num_rows, 0) as rows_in_quarantine
    from loaded
    full outer join promised on loaded.stream = promised.stream
    left join quarantined on loaded.stream = quarantined.stream
    where
        promised.landed != promised.loaded + promised.duplicate + promised.quarantined
        or loaded.num_rows != coalesce(promised.loaded, 0)
        or coalesce(quarantined.num_rows, 0) != coalesce(promised.quarantined, 0)

)

select * from lost
