"""A release's card: one page that says what it is, how it was judged, and what it was made from.

It is made from the release's other files alone, so it can also be made for a release that was saved without one. What
happened to the release afterwards is not in it: a file of a release is hashed and final. `stillhouse release` shows it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from decisions.criterion import in_order
from lakehouse.recipes import Recipe
from orchestration.page import pictures, render
from registry import Lineage

CARD = "card.html"
# In a report of `ranker.evaluate`: the figure, and what it is called.
FIGURES = {
    "auc": "AUC",
    "log_loss": "log loss",
    "normalised_entropy": "normalised entropy",
    "gauc": "GAUC",
    "pcoc": "PCOC",
    "ece": "ECE",
    "ndcg_at_10": "NDCG at 10",
    "hit_at_3": "hit rate at 3",
    "churn": "churn",
    "top_3_change": "top 3 changed",
}
# What stands beside the candidate, and its key in the metrics.
BESIDE = {"production": "production", "no teacher": "control"}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A metric of an action under each side, and the candidate's 95 % interval; None is undefined."""

    name: str
    values: Mapping[str, float | None]
    interval: tuple[float | None, float | None] | None


@dataclass(frozen=True, kw_only=True)
class Group:
    """The rows that share a segment's value or a position, and their AUC and PCOC under each side."""

    name: str
    rows: int
    positives: int
    figures: Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True, kw_only=True)
class Lack:
    """What it would cost should a feature fail to arrive: by action the AUC lost; of the first, log loss and PCOC."""

    feature: str
    auc_lost: tuple[float | None, ...]
    log_loss_gained: float | None
    pcoc: float | None


def card(files: Mapping[str, bytes], *, lineage: Lineage) -> bytes:
    """The card as HTML, the same for the same release.

    files: all of the release, with or without a card.
    """
    metrics, decision, settings = (json_of(files, name) for name in ("metrics.json", "gate.json", "training.json"))
    actions, sides = actions_of(metrics, settings), sides_of(metrics)
    return render(
        "card.html",
        lineage=lineage,
        decision=decision or {"verdict": "not judged", "reason": "The gate was never asked about it.", "criteria": []},
        criteria=in_order(decision.get("criteria", [])),
        dataset=settings.get("dataset", {}),
        rows=metrics.get("rows"),
        users=metrics.get("users"),
        actions=actions,
        sides=list(sides),
        figures={action: figures_of(sides, action) for action in actions},
        pictures=pictures(files),
        groups=groups_of(sides, actions[0]) if actions else [],
        lacks=lacks_of(metrics, actions),
        strata=strata_of(lineage.recipe, settings.get("recipe")),
        settings=settings_of(settings, json_of(files, "config.json")),
        files=[
            (name, len(content), hashlib.sha256(content).hexdigest())
            for name, content in sorted(files.items())
            # The lineage is written beside the card when the release is saved.
            if name not in (CARD, "lineage.json")
        ],
    ).encode()


def actions_of(metrics: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """The actions that a release was evaluated on, in the order of the data set's contract: the first is judged."""
    evaluated = metrics.get("actions", {})
    declared = settings.get("dataset", {}).get("actions", [])
    return [action for action in dict.fromkeys([*declared, *evaluated]) if action in evaluated]


def sides_of(metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By side the figures of each action: the candidate, production and the control, as far as there were any."""
    beside = {side: metrics.get(key, {}).get("actions") for side, key in BESIDE.items()}
    return {"candidate": metrics.get("actions", {})} | {side: found for side, found in beside.items() if found}


def figures_of(sides: Mapping[str, Mapping[str, Any]], action: str) -> list[Figure]:
    """Every metric of an action that any side has."""
    intervals = sides["candidate"][action].get("intervals", {})
    figures = [
        Figure(
            name=title,
            values={side: _value(found[action].get(name)) for side, found in sides.items()},
            interval=tuple(intervals[name]) if name in intervals else None,
        )
        for name, title in FIGURES.items()
    ]
    return [one for one in figures if any(value is not None for value in one.values.values())]


def groups_of(sides: Mapping[str, Mapping[str, Any]], action: str) -> list[Group]:
    """Every segment's value and every position."""
    by_side = {side: dict(_groups(found[action])) for side, found in sides.items()}
    return [
        Group(
            name=name,
            rows=ours["rows"],
            positives=ours["positives"],
            figures={side: groups[name] for side, groups in by_side.items()},
        )
        for name, ours in by_side["candidate"].items()
    ]


def lacks_of(metrics: Mapping[str, Any], actions: Sequence[str]) -> list[Lack]:
    """What the lack of each feature would cost, the costliest for the first action on top."""
    found = {(one["group"], one["action"]): one for one in metrics.get("robustness", [])}
    features = dict.fromkeys(feature for feature, action in found if action == actions[0])
    return [
        Lack(
            feature=feature,
            auc_lost=tuple(found[feature, action]["auc_lost"] for action in actions),
            log_loss_gained=found[feature, actions[0]]["log_loss_gained"],
            pcoc=found[feature, actions[0]]["pcoc"],
        )
        for feature in features
    ]


def strata_of(name: str, content: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    """A recipe's strata in order: name, which rows without an action fall into it, and how many of them are kept."""
    if content is None:
        return []
    recipe = Recipe.from_json(name, content)
    rules = [(rule.name, condition_of(rule.to_json()), f"{rule.keep:.1%}") for rule in recipe.rules]
    random = ("random_traffic", "random traffic", f"as many as make it {recipe.random_share:.1%} of all")
    return [*rules, ("otherwise", "all other policy traffic", f"{recipe.otherwise:.1%}"), random]


def settings_of(training: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, str]:
    """What it was trained with, by dotted name: all but the recipe and the contract of the log, shown by themselves."""
    own = {name: value for name, value in training.items() if name not in ("recipe", "dataset")}
    return dict(_flat({**own, **model}))


def condition_of(rule: Mapping[str, Any]) -> str:
    """A rule of a recipe in words.

    >>> condition_of({"name": "fresh", "column": "item_age_days", "at_least": 1, "below": 7, "keep": 0.5})
    'item_age_days at least 1, below 7'
    """
    bounds = [f"{name.replace('_', ' ')} {rule[name]:g}" for name in ("at_least", "below") if name in rule]
    values = [f"in {', '.join(rule['in'])}"] if "in" in rule else []
    return f"{rule['column']} {', '.join(values + bounds)}"


def _groups(figures: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for segment, values in figures.get("segments", {}).items():
        yield from ((f"{segment}={value}", group) for value, group in values.items())
    places = figures.get("positions", {})
    yield from ((f"position={place}", places[place]) for place in sorted(places, key=int))


def _value(figure: Any) -> float | None:
    """A plain figure, or that of an error that stands beside its noise floor."""
    return figure["error"] if isinstance(figure, dict) else figure


def _flat(content: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted names and plain values."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _flat(value, f"{name}.{key}" if name else key)
    elif isinstance(content, list):
        yield name, ", ".join(map(str, content)) or "none"
    else:
        yield name, "none" if content is None else str(content)


def json_of(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """A JSON file's content; empty where the release holds none."""
    content: dict[str, Any] = json.loads(files.get(name, b"{}"))
    return content
