{{ config(materialized='view') }}

with

quarantine as (

    select * from {{ source('raw', 'quarantine') }}

),

conflicts as (

    select * from {{ ref('int_exposures_conflicts') }}

),

engagements as (

    select * from {{ ref('stg_engagements') }}

),

exposures as (

    select * from {{ ref('int_exposures_deduplicated') }}

),

-- An action on an exposure that has not landed, and that carries too little to make an example by itself.
unmatched as (

    select engagements.*
    from engagements
    left anti join exposures
        on
            engagements.request_id = exposures.request_id
            and engagements.item_id = exposures.item_id

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
