"""The server's way from a snapshot to scores, and faults that somebody could build into it."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import Any

import numpy as np
import torch

from online.server.features import Asked, Columns, FeatureSource
from online.server.model import ServedModel
from online.server.snapshot import Snapshot
from online.settings import Settings
from ranker import Codes, Lists, score
from ranker.metrics import Floats

BROUGHT = Settings.load().brought


@dataclass(frozen=True, kw_only=True)
class Way:
    """What a request goes through, each step open to a fault."""

    snapshot: Snapshot
    model: ServedModel
    ask: Callable[[Asked], Asked] = field(default=lambda asked: asked)
    change: Callable[[Columns], Columns] = field(default=lambda columns: columns)
    is_calibrated: bool = True

    @cached_property
    def source(self) -> FeatureSource:
        return FeatureSource(self.snapshot, spec=self.model.spec, brought=BROUGHT)

    def scores(self, asked: Asked) -> Mapping[str, Floats]:
        """p(action) of each candidate, were it shown first."""
        columns = self.change(self.source.columns(self.ask(asked)))
        if self.is_calibrated:
            return self.model.probabilities([columns])[0]
        return score(self.model.ranker, columns.candidates(self.model.spec)).probabilities()


Plant = Callable[[Way], Way]


def number(name: str, fault: Callable[[Floats], Floats]) -> Plant:
    return changing(lambda one: replace(one, numbers={**one.numbers, name: fault(one.numbers[name])}))


def word(name: str, fault: Callable[[str], str]) -> Plant:
    def change(columns: Columns) -> Columns:
        codes = columns.words[name]
        return replace(columns, words={**columns.words, name: Codes(codes.codes, tuple(map(fault, codes.names)))})

    return changing(change)


def listed(name: str, fault: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Plant:
    def change(columns: Columns) -> Columns:
        lists = columns.lists[name]
        return replace(columns, lists={**columns.lists, name: Lists(lists.codes, [fault(one) for one in lists.lists])})

    return changing(change)


def changing(change: Callable[[Columns], Columns]) -> Plant:
    return lambda way: replace(way, change=change)


def asking(**faults: Callable[[Asked], Any]) -> Plant:
    return lambda way: replace(
        way, ask=lambda asked: replace(asked, **{name: fault(asked) for name, fault in faults.items()})
    )


def in_snapshot(change: Callable[[Snapshot], Snapshot]) -> Plant:
    return lambda way: replace(way, snapshot=change(way.snapshot))


def misaligned(columns: Columns) -> Columns:
    """The numbers of each candidate are those of the one before it."""
    numbers = {name: np.roll(of, 1) if len(of) > 1 else of for name, of in columns.numbers.items()}
    return replace(columns, numbers=numbers)


def in_half_precision(way: Way) -> Way:
    ranker = deepcopy(way.model.ranker)
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.copy_(parameter.half().float())
    return replace(way, model=replace(way.model, ranker=ranker))


def in_another_order_of_actions(way: Way) -> Way:
    calibrations = way.model.calibrator.actions
    turned = dict(
        zip(calibrations, [*list(calibrations.values())[1:], calibrations[next(iter(calibrations))]], strict=True)
    )
    return replace(way, model=replace(way.model, calibrator=replace(way.model.calibrator, actions=turned)))


FAULTS: Mapping[str, Plant] = {
    "hours of another time zone": asking(at=lambda asked: asked.at + timedelta(hours=2)),
    "asked as of a day later": asking(at=lambda asked: asked.at + timedelta(days=1)),
    "surface in capitals": asking(surface=lambda asked: asked.surface.upper()),
    "user id with a space": asking(user=lambda asked: f"{asked.user} "),
    "item ids in another order": asking(items=lambda asked: [*asked.items[1:], asked.items[0]]),
    "a feature of the request is not passed on": asking(candidates=lambda _: {}),
    "a missing affinity becomes 0": number("logged_affinity", lambda of: np.nan_to_num(of)),
    "affinity rounded to one decimal": number("logged_affinity", lambda of: np.round(of, 1)),
    "numbers of the candidate before": changing(misaligned),
    "clicks of a user counted twice": number("user_clicks", lambda of: 2 * of),
    "exposures less the last": number("item_exposures", lambda of: np.maximum(of - 1, 0)),
    "a rate without its smoothing": in_snapshot(lambda of: replace(of, prior_weight=1e-9)),
    "rates smoothed towards another rate": in_snapshot(lambda of: replace(of, click_rate=0.3)),
    "a rate in per cent": number("item_click_rate", lambda of: 100 * of),
    "age of an item in hours": number("item_age_days", lambda of: 24 * of),
    "an unknown age becomes 0": number("item_age_days", lambda of: np.nan_to_num(of)),
    "age of a user cut at 40": number("user_age", lambda of: np.minimum(of, 40)),
    "days known as whole days of an item": number("item_days_known", lambda of: np.floor(of)),
    "days known of a user left out": number("user_days_known", lambda of: np.zeros_like(of)),
    "surplus with the wrong sign": number("user_category_click_surplus", lambda of: -of),
    "taste summed, not averaged": number("user_category_exposures", lambda of: 2 * of),
    "taste left out": number("user_category_click_rate", lambda of: np.full_like(of, np.nan)),
    "mean rate of what was shown in billionths": number("user_mean_item_click_rate", lambda of: of * 1e9),
    "recent items in the order of time": listed("user_recent_items", lambda items: items[::-1]),
    "recent items without the last": listed("user_recent_items", lambda items: items[1:]),
    "categories of an item cut to one": listed("item_categories", lambda names: names[:1]),
    "an unknown segment is empty": word("user_segment", lambda name: "" if name == "unknown" else name),
    "country left out": word("country", lambda _: "unknown"),
    "content type left out": word("content_type", lambda _: "unknown"),
    "gender left out": word("gender", lambda _: "unknown"),
    "scores that nobody calibrated": lambda way: replace(way, is_calibrated=False),
    "calibrations of other actions": in_another_order_of_actions,
    "weights in half precision": in_half_precision,
}
