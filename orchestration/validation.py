"""The days that a retrain adds, judged before it trains: what is broken blocks, what drifted warns.

Reads pinned versions of monitoring.* only, so that a week judged again is judged the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure

from decisions.anomalies import Promise, anomalies, is_judged
from decisions.criterion import Criterion
from decisions.data_checks import check_columns, check_days, check_drift
from decisions.days import DayFigures, FeatureFigures, RandomFigures, ValueFigures
from decisions.drift import REACH_DAYS, Drift, distances, drifts
from lakehouse.versions import Pin, open_dataset, read
from orchestration.plan import Plan, source_of
from ranker import FeatureSpec
from ranker.plots import png
from ranker.spec import Feature
from registry import Input

# The pictures of more are not read.
FEATURES_SHOWN = 40
STATISTICS = (
    "monitoring.feature_statistics",
    "monitoring.value_statistics",
    "monitoring.label_statistics",
    "monitoring.traffic_statistics",
)


@dataclass(frozen=True, kw_only=True)
class Validation:
    """The criteria on the days, how far each feature moved on each of them, and the rows that say so."""

    criteria: tuple[Criterion, ...]
    drifts: tuple[Drift, ...]
    sources: tuple[Input, ...]


def validate(plan: Plan) -> Validation:
    """Judge the days that production was not judged on yet, beside those before them."""
    spec, dataset = plan.spec, plan.dataset
    since, until = validated_days(plan)
    promise = Promise(
        kinds={feature.name: feature.kind for feature in spec.features},
        ids=frozenset({spec.user, spec.item}),
        random_slice=dataset.random_slice,
        positions=dataset.positions,
    )
    rows = statistics_rows(plan)
    days = day_figures({pinned.relation: table for pinned, table in rows.items()}, spec=spec)
    # The attribution windows of the newest day are still open; it is whole, and judged, by the next retrain.
    until = min(until, max(days, default=until))
    found = anomalies(days, since=since, until=until, first_day=dataset.first_day, promise=promise)
    broken = {one.day for one in found}
    whole = {day: figures for day, figures in days.items() if day not in broken}
    new = [day for day in sorted(whole) if since <= day < until]
    judged = len(broken) + sum(is_judged(day, days) for day in new)
    known = {day: distances(figures, whole) for day, figures in whole.items()}
    drifted = [one for day in new for one in drifts(day, known, leave_out=promise.ids)]
    schema = {field.name: _held(field.type) for field in open_dataset(plan.examples).schema}
    return Validation(
        criteria=(
            check_columns({feature.name: _read_as(feature) for feature in spec.features}, schema),
            *check_days(found, days=max((until - since).days, 0), judged=judged),
            check_drift(drifted),
        ),
        drifts=tuple(drifted),
        sources=tuple(source_of(pinned, table) for pinned, table in rows.items()),
    )


def validated_days(plan: Plan) -> tuple[date, date]:
    """The first day that is judged, and the one after the last."""
    return plan.validated_since or plan.dataset.first_day, plan.windows.evaluate_until.date()


def statistics_rows(plan: Plan) -> dict[Pin, pa.Table]:
    """What the pinned statistics hold of the days that are judged, and of those that they are compared with."""
    since, until = validated_days(plan)
    where = (pc.field("day") >= pa.scalar(since - timedelta(days=REACH_DAYS))) & (pc.field("day") < pa.scalar(until))
    return {pinned: _sorted(read(pinned, where=where)) for pinned in plan.statistics}


def _sorted(table: pa.Table) -> pa.Table:
    grain = [name for name in ("day", "feature", "value", "traffic") if name in table.column_names]
    return table.sort_by([(name, "ascending") for name in grain])


def drift_diagram(drifts: Sequence[Drift]) -> bytes:
    """Each feature's effect on each day, as a share of what it must pass; those that drifted are marked."""
    highest: dict[str, float] = {}
    for one in drifts:
        highest[one.name] = max(highest.get(one.name, 0.0), abs(one.effect) / one.floor)
    names = sorted(highest, key=lambda name: -highest[name])[:FEATURES_SHOWN]
    days = sorted({one.day for one in drifts})
    share = np.full((len(names), len(days)), np.nan)
    figure = Figure(figsize=(3.5 + 0.35 * len(days), 1.4 + 0.25 * len(names)), layout="constrained")
    axes = figure.subplots()
    for one in drifts:
        if one.name in names:
            row, column = names.index(one.name), days.index(one.day)
            share[row, column] = abs(one.effect) / one.floor
            if one.drifted:
                axes.plot(column, row, "x", color="black")
    shown = axes.imshow(share, vmin=0, vmax=2, cmap="coolwarm", aspect="auto")
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks(range(len(days)), [f"{day:%d %b}" for day in days], rotation=90)
    axes.set_title("Drift: effect ÷ what is usual; × drifted", fontsize="medium", loc="right")
    figure.colorbar(shown)
    return png(figure)


def day_figures(tables: Mapping[str, pa.Table], *, spec: FeatureSpec) -> dict[date, DayFigures]:
    """What the tables STATISTICS hold of each day.

    Days that were built before a figure was kept are left out: `stillhouse backfill` gives them one.
    """
    rows = {relation.removeprefix("monitoring."): table.to_pylist() for relation, table in tables.items()}
    values: dict[tuple[date, str], dict[str, ValueFigures]] = {}
    for one in sorted(rows["value_statistics"], key=lambda one: one["place"]):
        of = values.setdefault((one["day"], one["feature"]), {})
        of[one["value"]] = ValueFigures(examples=one["examples"], acted=one["acted"])
    features: dict[date, dict[str, FeatureFigures]] = {}
    for one in rows["feature_statistics"]:
        if one["not_finite"] is not None:
            of_feature = _feature(one, values.get((one["day"], one["feature"]), {}))
            features.setdefault(one["day"], {})[one["feature"]] = of_feature
    labels: dict[date, list[dict[str, Any]]] = {}
    for one in rows["label_statistics"]:
        labels.setdefault(one["day"], []).append(one)
    return {
        one["day"]: _day(one, features[one["day"]], labels.get(one["day"], []), spec)
        for one in rows["traffic_statistics"]
        if one["day"] in features
    }


def _feature(row: Mapping[str, Any], values: Mapping[str, ValueFigures]) -> FeatureFigures:
    return FeatureFigures(
        kind=row["kind"],
        missing=row["missing"],
        not_finite=row["not_finite"],
        distinct_values=row["distinct_values"],
        quantiles_L=np.array(row["quantiles"] or [], dtype=np.float64),
        acted_correlation=_number(row["acted_correlation"]),
        missing_acted_correlation=_number(row["missing_acted_correlation"]),
        values=values,
    )


def _day(
    row: Mapping[str, Any], features: Mapping[str, FeatureFigures], labels: list[dict[str, Any]], spec: FeatureSpec
) -> DayFigures:
    random = RandomFigures(
        requests=row["random_requests"] or 0,
        candidates=row["random_candidates"] or 0,
        examples=row["random_examples"] or 0,
        without_propensity=row["without_propensity"] or 0,
        propensity_sum=_number(row["propensity_sum"]),
        smallest_propensity=_number(row["smallest_propensity"]),
        largest_propensity=_number(row["largest_propensity"]),
        alignment={
            "score": _number(row["score_alignment"]),
            "item_click_rate": _number(row["click_rate_alignment"]),
        },
        calibrate_share=_number(row["calibrate_share"]),
        evaluate_share=_number(row["evaluate_share"]),
    )
    return DayFigures(
        **{field.name: row[field.name] for field in fields(DayFigures) if field.name in row},
        acted=sum(one["acted"] for one in labels),
        positives={label.action: sum(one[label.name] for one in labels) for label in spec.labels},
        features=features,
        random=random if random.requests else None,
    )


def _read_as(feature: Feature) -> str:
    return {"numeric": "numbers", "sequence": "lists"}.get(feature.kind, "words")


def _held(type: pa.DataType) -> str:
    """What a column holds: whole numbers serve as words too."""
    if pa.types.is_list(type) or pa.types.is_large_list(type):
        return "lists"
    return "numbers" if pa.types.is_floating(type) or pa.types.is_decimal(type) else "words"


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
