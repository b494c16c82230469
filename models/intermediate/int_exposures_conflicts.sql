{%- set days = days_of_build() %}

with

deliveries as (

    select
        *,
        to_date(served_at) as day,
        -- What a second delivery may change is whether the item was seen, and with it the place where it was.
        struct(
            request_id, user_id, item_id, surface, served_at, traffic, release_id, propensity, logging_probability,
            logging_draw, score, features, features_as_of
        ) as content
    from {{ ref('stg_exposures') }}
    where {{ rebuilt('served_at', days, partitioned=false) }}

),

exposures as (

    select * from {{ ref('int_exposures_deduplicated') }}
    where {{ rebuilt('day', days) }}

),

delivered_again as (

    select event_id
    from deliveries
    group by event_id
    having count(*) > 1

),

compared as (

    select
        deliveries.*,
        row_number() over (
            partition by deliveries.event_id
            order by
                deliveries.impressed desc,
                deliveries.load_id asc,
                deliveries.source_file asc,
                deliveries.source_row asc
        ) as delivery_rank
    from deliveries
    left semi join delivered_again on deliveries.event_id = delivered_again.event_id

),

kept as (

    select
        event_id,
        position,
        content
    from compared
    where delivery_rank = 1

),

conflicts as (

    select
        compared.event_id,
        compared.day,
        compared.served_at,
        compared.impressed,
        compared.source_file,
        compared.source_row,
        compared.load_id,
        exposures.source_file as kept_source_file,
        exposures.source_row as kept_source_row
    from compared
    inner join kept on compared.event_id = kept.event_id
    inner join exposures on compared.event_id = exposures.event_id
    where
        compared.delivery_rank > 1
        and (
            compared.content != kept.content
            or compared.impressed and compared.position != kept.position
        )

)

select {{ files_by_day(days) }} * from conflicts
