{{ config(materialized='view') }}

with

engagements as (

    select * from {{ ref('stg_engagements') }}

),

exposures as (

    select * from {{ ref('int_exposures_deduplicated') }}

),

unmatched as (

    select
        engagements.event_id,
        engagements.request_id,
        engagements.item_id,
        engagements.action,
        engagements.engaged_at,
        engagements.load_id,
        engagements.source_file,
        engagements.source_row
    from engagements
    left anti join exposures
        on
            engagements.request_id = exposures.request_id
            and engagements.item_id = exposures.item_id

)

select * from unmatched
