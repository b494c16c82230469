"""The dbt models as assets: each output carries the Delta table id and version that the build left behind."""

import json
import os
import shutil
import sys
from collections.abc import Generator, Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import (
    DagsterDbtTranslatorSettings,
    DbtCliInvocation,
    DbtCliResource,
    DbtProject,
    dbt_assets,
)

from lakehouse.guard import check_tables
from lakehouse.home import PROJECT, home
from lakehouse.ops import create_tables
from lakehouse.repair import heal
from lakehouse.session import connect
from lakehouse.versions import Pin, pin
from lakehouse.watch import kept_up
from lakehouse.writer import writing
from orchestration.built import inputs, is_as_left, project_files, remember
from orchestration.pointers import publish_pointers
from orchestration.progress import progress
from orchestration.retries import retried
from orchestration.translator import RelationTranslator
from registry import Registry

# The environment's own dbt, whether or not the environment is activated.
DBT = str(Path(sys.executable).parent / "dbt")
# How long a build waits for a vacuum or a repair; both are over in minutes.
PATIENCE_S = 600.0


def parsed_project() -> DbtProject:
    """The dbt project with a manifest of target prod, parsed again when a file of the project is newer than it."""
    project = DbtProject(
        project_dir=PROJECT,
        profiles_dir=PROJECT / "profiles",
        target="prod",
        # dagster-dbt joins the two; an absolute path stays as it is.
        target_path=home().dbt / "target",
    )
    files = project_files()
    # A folder is newer too where a file of it was deleted.
    newest = max(path.stat().st_mtime for path in {*files, *(file.parent for file in files)} - {PROJECT})
    if not project.manifest_path.exists() or project.manifest_path.stat().st_mtime < newest:
        # Parsing opens no connection, but the profile insists on knowing where the lake is.
        os.environ.setdefault("SPARK_REMOTE", "sc://localhost")
        DbtCliResource(project_dir=project, dbt_executable=DBT).cli(["parse"], target_path=home().dbt / "target").wait()
    return project


PARSED = parsed_project()
TRANSLATOR = RelationTranslator(DagsterDbtTranslatorSettings(enable_source_tests_as_checks=True))
VIEWS = {
    TRANSLATOR.get_asset_key(node)
    for node in json.loads(PARSED.manifest_path.read_text())["nodes"].values()
    if node["config"]["materialized"] == "view"
}


class Days(dg.Config):
    """Build these days again, and all after them unless `last_day` says otherwise; by default those that changed."""

    first_day: str | None = None
    last_day: str | None = None


@dbt_assets(
    manifest=PARSED.manifest_path, project=PARSED, dagster_dbt_translator=TRANSLATOR, name="models", pool="lake"
)
@retried
def models(context: dg.AssetExecutionContext, dbt: DbtCliResource, config: Days) -> Iterator[Any]:
    """`dbt build` in production; each model's table is pinned as the build left it.

    If nothing has landed and nothing was changed since the last build of everything, the tables are pinned as they are.
    """
    tables = [".".join(key.path) for key in models.keys - VIEWS]
    is_whole = context.selected_asset_keys == models.keys and config == Days()
    with writing(home(), "dbt build", wait_s=PATIENCE_S):
        if is_whole and is_as_left(tables, home=home()):
            progress("dbt: nothing to build since the last build")
            # Dagster wants each asset after those that it is made of.
            order = TopologicalSorter({key: models.asset_deps[key] & models.keys for key in models.keys})
            yield from (as_it_is(key) for key in order.static_order())
            return
        made_of = yield from build(context, dbt, config)
        if is_whole:
            remember(made_of, tables, home=home())


def build(context: dg.AssetExecutionContext, dbt: DbtCliResource, config: Days) -> Generator[Any, None, dict[str, Any]]:
    """The events of `dbt build`, and what it was made of; its manifest is published when all went well."""
    finished: set[str] = set()
    progress("dbt: starting")
    with kept_up(home()):
        spark = connect(home())
        for done in heal(home(), spark):
            progress(done)
        check_tables(home(), spark)
        create_tables(spark)
        publish_pointers(Registry(home().releases), home=home())
        made_of = inputs(home())
        # Unit tests judge the SQL, not the data: whoever changes a model runs them, and the gate of the code does.
        wanted = {"backfill_from": config.first_day, "backfill_to": config.last_day}
        chosen = json.dumps({name: day for name, day in wanted.items() if day})
        running = dbt.cli(["build", "--exclude-resource-type", "unit_test", "--vars", chosen], context=context)
        for event in running.stream():
            if isinstance(event, dg.Output):
                finished.add(str(event.metadata["unique_id"].value))
                event = versioned(context, event)
                progress(f"dbt: {len(finished)} of {len(context.selected_asset_keys)} models built")
            yield event
    check_that_no_model_is_missing(running, finished)
    publish_manifest(running.target_path / "manifest.json")
    return made_of


def as_it_is(key: dg.AssetKey) -> dg.MaterializeResult[None]:
    """A model that was not built, with the version of its table."""
    if key in VIEWS:
        return dg.MaterializeResult(asset_key=key)
    table = pin(".".join(key.path), home=home())
    return dg.MaterializeResult(
        asset_key=key, metadata=pin_metadata(table), data_version=dg.DataVersion(table.data_version)
    )


def versioned(context: dg.AssetExecutionContext, output: dg.Output) -> dg.Output:
    """The same output with its table's id and version; a view has neither and passes as it is."""
    key = context.asset_key_for_output(output.output_name)
    if key in VIEWS:
        return output
    table = pin(".".join(key.path), home=home())
    return dg.Output(
        value=output.value,
        output_name=output.output_name,
        metadata={**output.metadata, **pin_metadata(table)},
        data_version=dg.DataVersion(table.data_version),
    )


def pin_metadata(table: Pin) -> dict[str, Any]:
    return {
        "delta_version": table.version,
        "delta_table_id": table.table_id,
        "delta_path": dg.MetadataValue.path(table.path),
    }


def pinned_input(context: dg.AssetExecutionContext, key: dg.AssetKey) -> Pin:
    """The version of an upstream table that its last materialisation recorded: never simply the newest one.

    Raises dg.Failure if the asset was not materialised yet.
    """
    event = context.instance.get_latest_materialization_event(key)
    if event is None or event.asset_materialization is None:
        raise dg.Failure(f"{key.to_user_string()} has never been materialised; run the job `retrain`, which builds it")
    metadata = event.asset_materialization.metadata
    return Pin(
        relation=".".join(key.path),
        path=str(metadata["delta_path"].value),
        table_id=str(metadata["delta_table_id"].value),
        version=int(str(metadata["delta_version"].value)),
    )


def check_that_no_model_is_missing(run: DbtCliInvocation, finished: set[str]) -> None:
    """Another process's output on dbt's line can swallow an event: a model that ran unrecorded is a failure."""
    results = json.loads((run.target_path / "run_results.json").read_text())["results"]
    missing = {result["unique_id"] for result in results if result["unique_id"].startswith("model.")} - finished
    if missing:
        raise dg.Failure(f"dbt built {sorted(missing)} but reported no event for them; run the step again")


def publish_manifest(manifest: Path) -> None:
    """Keep the manifest of the last good production build: dev defers to it, and the ranker reads its feature spec."""
    target = home().dbt / "prod" / "manifest.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_suffix(".new")
    shutil.copyfile(manifest, beside)
    beside.replace(target)
