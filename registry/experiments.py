"""Which experiments there were, who answered whom at each version of the pointer: pure functions over the journal.

Each promotion with a holdout begins one: production, against the production before it for a share of the users. The
long holdout is one of its own, for as long as its release stays: that against whatever else is released meanwhile.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from decisions.assignment import LONG_HOLDOUT_SALT, canary_salt, holdout_salt
from registry.journal import Entry

Kind = Literal["holdout", "long-holdout"]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """`control_share` of the users whom no arm before has stay on `control`; `treatment` is None where it changes.

    It lasts from one pointer version to another, both included, the last one None while it runs.
    """

    name: str
    kind: Kind
    salt: str
    treatment: str | None
    control: str
    control_share: float
    first_version: int
    last_version: int | None
    began_at: str
    ended_at: str | None


@dataclass(frozen=True, kw_only=True)
class Arms:
    """Who answers whom at a version of the pointer. Salt and share are None for an arm that there is not."""

    version: int
    at: str
    production: str | None
    canary: str | None
    canary_salt: str | None
    canary_share: float | None
    holdout: str | None
    holdout_salt: str | None
    holdout_share: float | None
    long_holdout: str | None
    long_holdout_salt: str | None
    long_holdout_share: float | None


def arms(journal: Iterable[Entry]) -> list[Arms]:
    """The arms at each version of the pointer, oldest first; of before there were any, production alone."""
    return [_arms(entry) for entry in journal if "pointer_version" in entry.details]


def experiments(journal: Iterable[Entry]) -> list[Experiment]:
    """Every experiment that the pointer began, by the version that began it; each is named after its kind and that."""
    found: list[Experiment] = []
    running: dict[Kind, Experiment] = {}
    for now in arms(journal):
        wanted = {one.kind: one for one in _experiments(now)}
        for kind, one in list(running.items()):
            if kind not in wanted or _what(wanted[kind]) != _what(one):
                found.append(replace(running.pop(kind), last_version=now.version - 1, ended_at=now.at))
        for kind, one in wanted.items():
            running.setdefault(kind, one)
    return sorted([*found, *running.values()], key=lambda one: (one.first_version, one.kind))


def _experiments(now: Arms) -> Iterator[Experiment]:
    common: dict[str, Any] = {"first_version": now.version, "last_version": None, "began_at": now.at, "ended_at": None}
    if now.holdout and now.holdout_salt and now.holdout_share:
        yield Experiment(
            name=f"holdout-{now.version}",
            kind="holdout",
            salt=now.holdout_salt,
            treatment=now.production,
            control=now.holdout,
            control_share=now.holdout_share,
            **common,
        )
    if now.long_holdout and now.long_holdout_salt and now.long_holdout_share:
        yield Experiment(
            name=f"long-holdout-{now.version}",
            kind="long-holdout",
            salt=now.long_holdout_salt,
            treatment=None,
            control=now.long_holdout,
            control_share=now.long_holdout_share,
            **common,
        )


def _what(one: Experiment) -> tuple[Any, ...]:
    """What an experiment compares; where it changes another one begins."""
    return one.salt, one.treatment, one.control, one.control_share


def _arms(entry: Entry) -> Arms:
    told = entry.details
    # Before there were arms, an entry's release was what it brought into production.
    production = told.get("production", entry.release)

    def share(name: str) -> float | None:
        return told.get(f"{name}_share") or None if told.get(name) else None

    return Arms(
        version=told["pointer_version"],
        at=entry.at,
        production=production,
        canary=told.get("canary"),
        canary_salt=canary_salt(told["canary"]) if share("canary") else None,
        canary_share=share("canary"),
        holdout=told.get("holdout"),
        holdout_salt=holdout_salt(production) if share("holdout") and production else None,
        holdout_share=share("holdout"),
        long_holdout=told.get("long_holdout"),
        long_holdout_salt=LONG_HOLDOUT_SALT if share("long_holdout") else None,
        long_holdout_share=share("long_holdout"),
    )
