{% macro served_arm(user_id, pointer) -%}
    case
        when {{ draw_by(user_id, pointer ~ '.long_holdout_salt') }} < {{ pointer }}.long_holdout_share then 'long-holdout'
        when {{ draw_by(user_id, pointer ~ '.holdout_salt') }} < {{ pointer }}.holdout_share then 'holdout'
        when {{ draw_by(user_id, pointer ~ '.canary_salt') }} < {{ pointer }}.canary_share then 'canary'
        else 'production'
    end
{%- endmacro %}
