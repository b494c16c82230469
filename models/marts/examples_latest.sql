{{ config(materialized='view', alias='examples') }}

select * from {{ ref('examples') }}
