"""The whole house as Dagster sees it: raw tables, dbt models, the ranker's releases, and what runs them when."""

import dagster as dg
from dagster_dbt import DbtCliResource

from orchestration.experiments import TOLD, experiment_analysis
from orchestration.models import DBT, PARSED, models
from orchestration.online import feature_snapshot
from orchestration.raw import landed
from orchestration.releases import PERIODS, calibrated_pair, candidate, evaluation, release, teacher_scores
from orchestration.sensors import alerts_sensor, rollout, schedule_of, watchdog

retrain_job = dg.define_asset_job(
    "retrain",
    selection=dg.AssetSelection.all(),
    partitions_def=PERIODS,
    executor_def=dg.in_process_executor,
    description="Ingest what landed, build the models, train, calibrate, evaluate, decide and release one period.",
)

backfill_job = dg.define_asset_job(
    "backfill",
    selection=dg.AssetSelection.assets(models),
    executor_def=dg.in_process_executor,
    description="Build the models again from a day on: for rows that landed too late, or for a new column's history.",
)

defs = dg.Definitions(
    assets=[
        landed,
        models,
        teacher_scores,
        candidate,
        calibrated_pair,
        evaluation,
        release,
        feature_snapshot,
        experiment_analysis,
        *TOLD,
    ],
    jobs=[retrain_job, backfill_job],
    schedules=[schedule_of(retrain_job.name)],
    sensors=[watchdog, rollout, alerts_sensor],
    resources={"dbt": DbtCliResource(project_dir=PARSED, profiles_dir="profiles", target="prod", dbt_executable=DBT)},
)
