"""A model judged on the days after calibration: what every criterion asks of it, and the decision. Nothing is saved."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import isnan, nan
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch

from decisions.criterion import Criterion, Decision
from decisions.gate import gate
from decisions.off_policy import OffPolicyFigures
from decisions.serving import ServingFigures
from orchestration.judging import Floats, Positions, action_figures, off_policy_figures, slates_of
from orchestration.plan import Plan, Rows, evaluation_rows, random_rows
from orchestration.progress import progress
from ranker import Calibrator, Examples, Ranker, flops, robustness, score
from registry import Artifact

# Each feature is hidden in turn and the rows scored again, a few seconds for so many.
ROWS_WITHOUT_FEATURES = 20_000


@dataclass(frozen=True, kw_only=True)
class Model:
    """A trained ranker as the files of a release, and what turns its scores into probabilities."""

    files: Mapping[str, bytes]
    calibrator: Calibrator

    @classmethod
    def of_release(cls, artifact: Artifact) -> "Model":
        return cls(files=artifact.files, calibrator=Calibrator.from_json(artifact.json("calibrator.json")))

    @cached_property
    def ranker(self) -> Ranker:
        return Ranker.from_files(dict(self.files))

    def probabilities(self, rows: Rows, plan: Plan) -> dict[str, Floats]:
        """Calibrated p(action) of each row at the position shown, by a model that may know another spec."""
        model = self.ranker
        return self.calibrator.apply(score(model, _read_by(model, rows, plan), position="shown"))

    def bare_probabilities(self, rows: Rows, plan: Plan) -> dict[str, Floats]:
        """The same before calibration, as a student learns them."""
        model = self.ranker
        return score(model, _read_by(model, rows, plan), position="shown").probabilities()

    def ranking_scores(self, rows: Rows, plan: Plan) -> Floats:
        """What it orders a request by: calibrated p(first action) as if each candidate stood first."""
        model = self.ranker
        return self.calibrator.apply(score(model, _read_by(model, rows, plan), position=1))[plan.dataset.actions[0]]


@dataclass(frozen=True, kw_only=True)
class Days:
    """The rows that judge: those of the evaluation, and the candidates of its random requests where there are any."""

    evaluation: Rows
    random: Rows | None

    @classmethod
    def of(cls, plan: Plan) -> "Days":
        return cls(evaluation=evaluation_rows(plan), random=random_rows(plan))


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The decision on a model, and what a report of it is made of. Probabilities are of the evaluation's rows."""

    decision: Decision
    probabilities: dict[str, Floats]
    production: dict[str, Floats] | None
    without: list[dict[str, Any]]
    off_policy: dict[str, Any] | None


def judge_model(model: Model, *, beside: Model | None, days: Days, plan: Plan, checks: Iterable[Criterion]) -> Judged:
    """Put every question of the gate to a model. `beside`: production, the plan's teacher; None before one."""
    rows = days.evaluation
    probabilities = model.probabilities(rows, plan)
    production = beside.probabilities(rows, plan) if beside else None
    figures = {
        action: action_figures(
            action,
            rows.examples,
            candidate=probabilities[action],
            production=production[action] if production else None,
            seed=plan.seed,
        )
        for action in plan.dataset.actions
    }
    progress("evaluate: off-policy value")
    off_policy, estimates = off_policy_value(model, beside=beside, random=days.random, plan=plan)
    progress("evaluate: without each feature")
    without = costs_of_missing_features(model, rows, plan)
    progress("evaluate: gate")
    decision = gate(
        figures,
        actions=plan.dataset.actions[:1],
        random_slice=plan.dataset.random_slice,
        positions=plan.dataset.positions,
        production=plan.teacher,
        random_slice_rows=pc.sum(pc.equal(rows.table["traffic"], "random")).as_py(),
        off_policy=off_policy,
        serving=serving_figures(model, rows, plan, without=without),
        data=checks,
    )
    return Judged(
        decision=decision,
        probabilities=probabilities,
        production=production,
        without=without,
        off_policy=estimates,
    )


def off_policy_value(
    model: Model, *, beside: Model | None, random: Rows | None, plan: Plan
) -> tuple[OffPolicyFigures | None, dict[str, Any] | None]:
    """What both would earn by the random slice, of the first action; nothing without such rows."""
    if random is None:
        return None, None
    action, ranker = plan.dataset.actions[0], model.ranker
    examples = _read_by(ranker, random, plan)

    def log_odds(positions_B: Positions) -> Floats:
        at = replace(examples, position_B=torch.from_numpy(positions_B))
        return score(ranker, at, position="shown").log_odds(action)

    rankings = {"candidate": model} | ({"production": beside} if beside else {})
    return off_policy_figures(
        slates_of(action, random, spec=plan.spec),
        {name: one.ranking_scores(random, plan) for name, one in rankings.items()},
        log_odds=log_odds,
        seed=plan.seed,
    )


def costs_of_missing_features(model: Model, rows: Rows, plan: Plan) -> list[dict[str, Any]]:
    """What each feature's lack would cost each action, the costliest first, on some of the rows; null is undefined."""
    some = np.linspace(0, len(rows.examples) - 1, min(len(rows.examples), ROWS_WITHOUT_FEATURES)).astype(np.int64)
    ranker = model.ranker
    examples = Examples.from_arrow(rows.table.take(some), spec=ranker.spec, actions=plan.dataset.actions)
    return [
        {name: None if isinstance(value, float) and isnan(value) else value for name, value in asdict(loss).items()}
        for loss in robustness(ranker, examples)
    ]


def serving_figures(model: Model, rows: Rows, plan: Plan, *, without: list[dict[str, Any]]) -> ServingFigures:
    """What it would take to serve a model, and its level without each feature, of the first action."""
    found = {one["group"]: one["pcoc"] for one in without if one["action"] == plan.dataset.actions[0]}
    return ServingFigures(
        weights_bytes=len(model.files["serving.safetensors"]),
        flops=flops(model.ranker, rows.examples),
        pcoc_without={feature: nan if pcoc is None else pcoc for feature, pcoc in found.items()},
    )


def _read_by(model: Ranker, rows: Rows, plan: Plan) -> Examples:
    if model.spec == plan.spec:
        return rows.examples
    return Examples.from_arrow(rows.table, spec=model.spec, actions=plan.dataset.actions)
