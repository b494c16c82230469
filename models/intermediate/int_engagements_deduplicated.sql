with

engagements as (

    select * from {{ ref('stg_engagements') }}

),

deliveries as (

    select
        *,
        row_number() over (
            partition by event_id
            order by load_id desc, source_file desc, source_row desc
        ) as delivery_rank
    from engagements

),

actions as (

    select
        * except (delivery_rank),
        -- A label asks whether and when somebody first acted: the first of several clicks is the one that counts.
        row_number() over (
            partition by request_id, item_id, action
            order by engaged_at asc, event_id asc
        ) as action_rank
    from deliveries
    where delivery_rank = 1

),

deduplicated as (

    select * except (action_rank)
    from actions
    where action_rank = 1

)

select * from deduplicated
