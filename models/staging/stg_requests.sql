with

requests as (

    select * from {{ source('raw', 'requests') }}

),

typed as (

    select
        request_id,
        user_id,
        surface,
        served_at,
        traffic,
        release_id,
        arm,
        canary_share,
        pointer_version,
        failed,
        latency_ms,
        ranked_ms,
        num_candidates,
        memory_bytes,
        load_id,
        source_file,
        source_row
    from requests

)

select * from typed
