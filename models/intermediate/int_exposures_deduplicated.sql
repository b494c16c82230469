{%- set days = days_of_build() %}

with

deliveries as (

    select
        *,
        to_date(served_at) as day
    from {{ ref('stg_exposures') }}
    where {{ rebuilt('served_at', days, partitioned=false) }}

),

engagements as (

    select
        *,
        to_date(served_at) as day
    from {{ ref('stg_engagements') }}
    where {{ rebuilt('served_at', days, partitioned=false) }}

),

ranked as (

    select
        *,
        -- An impression can land first as a mere candidate and again because it was acted on: what was seen wins.
        -- After that the first delivery does, so that nothing that lands later changes what was trained on.
        row_number() over (
            partition by event_id
            order by impressed desc, load_id asc, source_file asc, source_row asc
        ) as delivery_rank
    from deliveries

),

landed as (

    select
        event_id,
        request_id,
        user_id,
        item_id,
        position,
        surface,
        served_at,
        day,
        impressed,
        traffic,
        release_id,
        propensity,
        logging_probability,
        logging_draw,
        score,
        logged_affinity,
        features_as_of,
        load_id,
        source_file,
        source_row
    from ranked
    where delivery_rank = 1

),

-- An action on an impression that the collector did not keep carries what makes an example. Of several the first does.
carried as (

    select
        engagements.*,
        row_number() over (
            partition by engagements.request_id, engagements.item_id
            order by
                engagements.engaged_at asc,
                engagements.event_id asc,
                engagements.load_id asc,
                engagements.source_file asc,
                engagements.source_row asc
        ) as action_rank
    from engagements
    left anti join landed
        on
            engagements.request_id = landed.request_id
            and engagements.item_id = landed.item_id
    where {{ makes_an_example('engagements') }}

),

unlogged as (

    select
        concat(request_id, '/', item_id) as event_id,
        request_id,
        user_id,
        item_id,
        position,
        surface,
        served_at,
        day,
        true as impressed,
        traffic,
        release_id,
        cast(null as double) as propensity,
        logging_probability,
        -- It was not kept by its draw, or it would have landed: without its action it stands for nobody.
        logging_probability as logging_draw,
        cast(null as double) as score,
        logged_affinity,
        cast(null as timestamp) as features_as_of,
        load_id,
        source_file,
        source_row
    from carried
    where action_rank = 1

),

deduplicated as (

    select * from landed
    union all
    select * from unlogged

)

select {{ files_by_day(days) }} * from deduplicated
