{%- set days = days_of_build() %}
{%- set metrics = ['clicked', 'engaged', 'hidden', 'dwell_s'] %}
{%- set numbers = ['y', 'n', 'x', 'm'] %}
{%- set products = ['yy', 'yn', 'yx', 'ym', 'nn', 'nx', 'nm', 'xx', 'xm', 'mm'] %}

with

experiments as (

    select
        *,
        to_date(began_at) as first_day,
        least(
            coalesce(to_date(ended_at), date '9999-12-31'), date_add(to_date(began_at), int(planned_days) - 1)
        ) as last_day
    from {{ source('ops', 'experiments') }}

),

requests as (

    select * from {{ ref('int_requests_by_user') }}

),

users as (

    select * from {{ ref('int_users_valid') }}

),

-- A day is looked at once the windows of all its requests have closed.
clock as (

    select date_sub(to_date(max(served_at) - make_dt_interval(0, {{ var('attribution_window_hours') }})), 1) as last_day
    from {{ ref('int_exposures_deduplicated') }}
    where {{ rebuilt('day', dict(days, last_day=none)) }}

),

running as (

    select
        experiments.*,
        least(experiments.last_day, clock.last_day) as last_look
    from experiments
    cross join clock
    where experiments.first_day <= least(experiments.last_day, clock.last_day)

),

all_looks as (

    select
        *,
        explode(sequence(first_day, last_look)) as day
    from running

),

looks as (

    select * from all_looks
    where {{ rebuilt('day', days, partitioned=false) }}

),

beginnings as (

    select distinct
        experiment,
        began_at,
        first_day
    from looks

),

-- The users of a canary get something else than production: a publish is compared without them, in both arms.
of_experiments as (

    select
        looks.experiment,
        looks.day,
        requests.user_id,
        if(requests.arm = looks.kind, 'control', 'treatment') as arm,
        {% for metric in metrics -%}
            double(sum(requests.{{ metric }})) as y_{{ metric }},
        {% endfor -%}
        double(sum(requests.requests)) as n
    from looks
    inner join requests
        on
            looks.first_day <= requests.day
            and looks.day >= requests.day
            and looks.first_pointer_version <= requests.pointer_version
            and coalesce(looks.last_pointer_version, bigint(9e18)) >= requests.pointer_version
    where
        looks.kind = 'long-holdout'
        or (requests.arm in ('holdout', 'production') and not requests.is_of_canary)
    group by
        looks.experiment,
        looks.day,
        looks.kind,
        requests.user_id,
        if(requests.arm = looks.kind, 'control', 'treatment')

),

before as (

    select
        looked_at.experiment,
        requests.user_id,
        {% for metric in metrics -%}
            double(sum(requests.{{ metric }})) as x_{{ metric }},
        {% endfor -%}
        double(sum(requests.requests)) as m
    from beginnings as looked_at
    inner join requests
        on
            looked_at.first_day > requests.day
            and date_sub(looked_at.first_day, {{ var('days_before_experiment') }}) <= requests.day
    group by looked_at.experiment, requests.user_id

),

segments as (

    select
        began.experiment,
        users.user_id,
        users.segment
    from beginnings as began
    inner join users
        on
            began.began_at >= users.valid_from
            and began.began_at < users.valid_until

),

known as (

    select
        of_experiments.experiment,
        of_experiments.day,
        of_experiments.arm,
        concat('user_segment: ', coalesce(segments.segment, 'unknown')) as segment,
        {% for metric in metrics -%}
            of_experiments.y_{{ metric }},
            coalesce(before.x_{{ metric }}, 0) as x_{{ metric }},
        {% endfor -%}
        of_experiments.n,
        coalesce(before.m, 0) as m
    from of_experiments
    left join before
        on
            of_experiments.experiment = before.experiment
            and of_experiments.user_id = before.user_id
    left join segments
        on
            of_experiments.experiment = segments.experiment
            and of_experiments.user_id = segments.user_id

),

by_metric as (

    {% for metric in metrics -%}
        select
            experiment,
            day,
            arm,
            segment,
            '{{ metric }}' as metric,
            y_{{ metric }} as y,
            n,
            x_{{ metric }} as x,
            m
        from known
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

figures as (

    select
        experiment,
        day,
        metric,
        coalesce(segment, 'all') as segment,
        arm,
        {% for one in numbers -%}
            sum({{ one }}) as sum_{{ one }},
        {% endfor -%}
        {% for one, other in products -%}
            sum({{ one }} * {{ other }}) as sum_{{ one }}{{ other }},
        {% endfor -%}
        count(*) as users
    from by_metric
    group by grouping sets ((experiment, day, metric, arm, segment), (experiment, day, metric, arm))

)

select {{ files_by_day(days) }} * from figures
