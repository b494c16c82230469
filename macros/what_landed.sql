{% macro what_landed(last) -%}
    {#- One row: the newest load of each stream since the build `last`, null if there is none, and its times. -#}
    select *
    from (
        select
            max(load_id) as exposures_load,
            min(served_at) as first_exposure,
            max(served_at) as last_exposure
        from ({{ landed_since(last, 'exposures') }})
    )
    cross join (
        select
            max(load_id) as engagements_load,
            min(engaged_at) as first_engagement
        from ({{ landed_since(last, 'engagements') }})
    )
    cross join (select max(load_id) as users_load from ({{ landed_since(last, 'users') }}))
    cross join (select max(load_id) as items_load from ({{ landed_since(last, 'items') }}))
{%- endmacro %}
