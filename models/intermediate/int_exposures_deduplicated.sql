with

exposures as (

    select * from {{ ref('stg_exposures') }}

),

ranked as (

    select
        *,
        -- An impression can land first as a mere candidate and again because it was acted on: what was seen wins.
        -- After that the latest delivery does. Load, file and row make the order total.
        row_number() over (
            partition by event_id
            order by impressed desc, load_id desc, source_file desc, source_row desc
        ) as delivery_rank
    from exposures

),

deduplicated as (

    select * except (delivery_rank)
    from ranked
    where delivery_rank = 1

)

select * from deduplicated
