{{ config(materialized='view') }}

with

quarantine as (

    select * from {{ source('raw', 'quarantine') }}

),

conflicts as (

    select * from {{ ref('int_exposures_conflicts') }}

),

unmatched as (

    select * from {{ ref('int_engagements_unmatched') }}

),

put_aside as (

    select
        stream,
        source_file,
        source_row,
        load_id,
        reason,
        field
    from quarantine

    union all

    select
        'exposures' as stream,
        source_file,
        source_row,
        load_id,
        'conflicting_duplicate' as reason,
        cast(null as string) as field
    from conflicts

    union all

    select
        'engagements' as stream,
        source_file,
        source_row,
        load_id,
        'exposure_missing' as reason,
        cast(null as string) as field
    from unmatched

)

select * from put_aside
