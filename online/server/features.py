"""The features of one request's candidates, from a snapshot and what the request brings, as of its time.

They are those of models/intermediate, written a second time on purpose: the skew check compares the two, and would see
nothing if they shared a fault. A feature is looked for among what is computed here, then among the columns of the
states by its name, then in what the request brings; `logged_affinity` is the `affinity` that it brings.

Shapes: K candidates.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from math import isfinite
from typing import Any, TypeAlias

import numpy as np

from online.server.snapshot import NEVER, UNKNOWN, Floats, Ints, Snapshot
from ranker import Candidates, Codes, FeatureSpec, Lists
from ranker.spec import Kind

DAY_US = 86_400_000_000
UNKNOWN_WORD = "unknown"
LOGGED = "logged_"
Column: TypeAlias = Floats | Codes | Lists


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a request says: who asks where and when for which items, and the features that it brings by name, one value
    for all candidates (`context`) or one for each (`candidates`, None where a candidate brings none)."""

    user: str
    surface: str
    at: datetime
    items: Sequence[str]
    context: Mapping[str, Any]
    candidates: Mapping[str, Sequence[Any]]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Feature columns by kind; `ranker.Candidates` says how a missing value stands there. A number that all K
    candidates share is an array of one; so is a word that they share the only one of its column.
    """

    num_rows: int
    numbers: dict[str, Floats]
    words: dict[str, Codes]
    lists: dict[str, Lists]

    def candidates(self, spec: FeatureSpec) -> Candidates:
        return Candidates.from_columns(
            self.num_rows, spec=spec, numbers=self.numbers, words=self.words, lists=self.lists
        )

    def logged(self, rows: Ints) -> tuple[dict[str, Any], dict[str, list[Any]]]:
        """The features that all candidates share, and those of each of `rows`, by name, as the feature log keeps them;
        a missing number is None."""
        shared: dict[str, Any] = {}
        each: dict[str, list[Any]] = {}
        for feature, numbers in self.numbers.items():
            # Under the name by which it was brought, as SQL looks for it.
            name = feature.removeprefix(LOGGED)
            if len(numbers) == 1:
                shared[name] = float(numbers[0]) if np.isfinite(numbers[0]) else None
            else:
                taken = numbers[rows]
                each[name] = taken.tolist() if np.isfinite(taken).all() else [_plain(one) for one in taken.tolist()]
        for name, codes in self.words.items():
            if len(codes.names) == 1:
                shared[name] = codes.names[0]
            else:
                each[name] = [codes.names[code] for code in codes.codes[rows].tolist()]
        for name, column in self.lists.items():
            if len(column.lists) == 1:
                shared[name] = column.lists[0]
            else:
                each[name] = [column.lists[code] for code in column.codes[rows].tolist()]
        return shared, each


class FeatureSource:
    """Answers with the columns that a spec names.

    Raises ValueError at once for a feature that neither the snapshot nor `brought` can supply: a server that cannot
    compute what its model was trained on does not become ready.
    """

    def __init__(self, snapshot: Snapshot, *, spec: FeatureSpec, brought: Collection[str]) -> None:
        self.snapshot = snapshot
        kinds = {feature.name: feature.kind for feature in spec.features}
        self._makers = {name: _maker(name, kinds.get(name, "categorical"), snapshot, brought) for name in spec.inputs()}
        if lacking := sorted(name for name, maker in self._makers.items() if maker is None):
            raise ValueError(
                f"the model needs {lacking}, which the server can neither compute nor was told that requests bring; "
                "see docs/serving.md, Features"
            )
        self.item_words = {name: snapshot.items.words(name) for name in snapshot.items.text_columns}
        self.item_lists = _coded(snapshot.items.lists("categories"))

    def columns(self, asked: Asked) -> Columns:
        known = Known(self, asked)
        columns = Columns(num_rows=len(asked.items), numbers={}, words={}, lists={})
        for name, maker in self._makers.items():
            assert maker is not None
            column = maker(known)
            if isinstance(column, Codes):
                columns.words[name] = column
            elif isinstance(column, Lists):
                columns.lists[name] = column
            else:
                columns.numbers[name] = column
        return columns


class Known:
    """What is known of one request: the rows of its user and items, and what several features start from."""

    def __init__(self, source: FeatureSource, asked: Asked) -> None:
        self.source, self.asked, self.snapshot = source, asked, source.snapshot
        self.num_rows = len(asked.items)
        self.user_row = self.snapshot.users.rows([asked.user])
        self.item_rows = self.snapshot.items.rows(asked.items)
        self.at_us = round(asked.at.timestamp() * 1_000_000)

    def smoothed(self, clicks: Floats, exposures: Floats, prior: float) -> Floats:
        weight = self.snapshot.prior_weight
        return (clicks + weight * prior) / (exposures + weight)

    def of_user(self, name: str, *, unknown: float = 0.0) -> Floats:
        return self.snapshot.users.numbers(name, self.user_row, unknown=unknown)

    def of_items(self, name: str) -> Floats:
        return self.snapshot.items.numbers(name, self.item_rows)

    def word_of_user(self, name: str) -> Codes:
        value = self.snapshot.users.value(name, int(self.user_row[0]))
        return self.word(UNKNOWN_WORD if value is None else value)

    def word(self, value: str) -> Codes:
        return Codes(np.zeros(self.num_rows, dtype=np.int64), (value,))

    def item_word(self, name: str) -> Codes:
        codes, words = self.source.item_words[name]
        return Codes(1 + self._of_item_rows(codes), (UNKNOWN_WORD, *words))

    @cached_property
    def item_categories(self) -> Lists:
        codes, lists = self.source.item_lists
        return Lists(1 + self._of_item_rows(codes), ((), *lists))

    def _of_item_rows(self, codes: Ints) -> Ints:
        """The code of each candidate's row; −1 for an unknown one."""
        return np.where(self.item_rows == UNKNOWN, -1, codes[self.item_rows] if len(codes) else -1)

    def days_since(self, times_us: Ints, *, never: float) -> Floats:
        return np.where(times_us == NEVER, never, (self.at_us - times_us) / DAY_US)

    def over_categories(self, of_category: Callable[[Mapping[str, float]], float], *, without: float) -> Floats:
        """The mean of a figure over each item's categories; `without` for an item that has none."""
        column = self.item_categories
        of_user = self.categories_of_user
        codes, place = np.unique(column.codes, return_inverse=True)
        means = []
        for code in codes:
            categories = set(column.lists[code])
            figures = [of_category(of_user.get(category, NOTHING)) for category in categories]
            means.append(sum(figures) / len(figures) if figures else without)
        return np.array(means)[place]

    def brought(self, name: str) -> Floats:
        """A number that the request brings; NaN where it brings none."""
        if name in self.asked.candidates:
            return np.array([np.nan if one is None else one for one in self.asked.candidates[name]], dtype=np.float64)
        value = self.asked.context.get(name)
        return np.array([np.nan if value is None else value], dtype=np.float64)

    @cached_property
    def categories_of_user(self) -> dict[str, Mapping[str, float]]:
        found = self.snapshot.users.value("categories", int(self.user_row[0])) or []
        return {one["category"]: one for one in found}

    @cached_property
    def user_click_rate(self) -> Floats:
        return self.smoothed(self.of_user("clicks"), self.of_user("exposures"), self.snapshot.click_rate)


NOTHING: Mapping[str, float] = {"exposures": 0, "clicks": 0, "expected_clicks_e9": 0}


def _category_click_rate(known: Known) -> Floats:
    rate, weight = known.snapshot.click_rate, known.snapshot.prior_weight
    return known.over_categories(
        lambda one: (one["clicks"] + weight * rate) / (one["exposures"] + weight),
        without=float(known.user_click_rate[0]),
    )


def _category_surplus(known: Known) -> Floats:
    weight = known.snapshot.prior_weight
    return known.over_categories(
        lambda one: (one["clicks"] - one["expected_clicks_e9"] / 1e9) / (one["exposures"] + weight), without=0.0
    )


Maker = Callable[[Known], Column]
_NUMBERS: Mapping[str, Maker] = {
    "user_age": lambda known: known.of_user("age", unknown=np.nan),
    "user_exposures": lambda known: known.of_user("exposures"),
    "user_clicks": lambda known: known.of_user("clicks"),
    "user_trailing_exposures": lambda known: known.of_user("trailing_exposures"),
    "user_trailing_clicks": lambda known: known.of_user("trailing_clicks"),
    "user_click_rate": lambda known: known.user_click_rate,
    "user_mean_item_click_rate": lambda known: known.smoothed(
        known.of_user("expected_clicks_e9") / 1e9, known.of_user("exposures"), known.snapshot.click_rate
    ),
    "user_days_known": lambda known: known.days_since(
        known.snapshot.users.times("first_seen_at", known.user_row), never=0.0
    ),
    "user_category_exposures": lambda known: known.over_categories(lambda one: one["exposures"], without=0.0),
    "user_category_click_rate": _category_click_rate,
    "user_category_click_surplus": _category_surplus,
    "item_exposures": lambda known: known.of_items("exposures"),
    "item_clicks": lambda known: known.of_items("clicks"),
    "item_trailing_exposures": lambda known: known.of_items("trailing_exposures"),
    "item_trailing_clicks": lambda known: known.of_items("trailing_clicks"),
    "item_click_rate": lambda known: known.smoothed(
        known.of_items("clicks"), known.of_items("exposures"), known.snapshot.click_rate
    ),
    "item_days_known": lambda known: known.days_since(
        known.snapshot.items.times("first_seen_at", known.item_rows), never=0.0
    ),
    "item_age_days": lambda known: known.days_since(
        known.snapshot.items.times("published_at", known.item_rows), never=np.nan
    ),
}
_WORDS: Mapping[str, Maker] = {
    "user_id": lambda known: known.word(known.asked.user),
    "item_id": lambda known: Codes(np.arange(known.num_rows), tuple(known.asked.items)),
    "surface": lambda known: known.word(known.asked.surface),
    "hour_of_day": lambda known: known.word(str(known.asked.at.astimezone(UTC).hour)),
    "user_segment": lambda known: known.word_of_user("segment"),
    "country": lambda known: known.word_of_user("country"),
    "gender": lambda known: known.word_of_user("gender"),
    "content_type": lambda known: known.item_word("content_type"),
}
_LISTS: Mapping[str, Maker] = {
    "item_categories": lambda known: known.item_categories,
    "user_recent_items": lambda known: Lists(
        np.zeros(known.num_rows, dtype=np.int64),
        (tuple(known.snapshot.users.value("recent_items", int(known.user_row[0])) or ()),),
    ),
}
COMPUTED: Mapping[Kind, Mapping[str, Maker]] = {"numeric": _NUMBERS, "categorical": _WORDS, "sequence": _LISTS}


def _maker(name: str, kind: Kind, snapshot: Snapshot, brought: Collection[str]) -> Maker | None:
    """What makes a column of that name and kind; None where nothing does."""
    if name in COMPUTED[kind]:
        return COMPUTED[kind][name]
    if name in snapshot.users and kind != "sequence":
        return lambda known: known.of_user(name, unknown=np.nan) if kind == "numeric" else known.word_of_user(name)
    if name in snapshot.items and kind != "sequence":
        return lambda known: known.of_items(name) if kind == "numeric" else known.item_word(name)
    if kind == "numeric" and name.removeprefix(LOGGED) in brought:
        return lambda known: known.brought(name.removeprefix(LOGGED))
    return None


def _plain(number: float) -> float | None:
    return number if isfinite(number) else None


def _coded(lists: Sequence[Sequence[str]]) -> tuple[Ints, list[tuple[str, ...]]]:
    """Each list as the number of its first equal."""
    numbers: dict[tuple[str, ...], int] = {}
    codes = [numbers.setdefault(tuple(one), len(numbers)) for one in lists]
    return np.array(codes, dtype=np.int64), list(numbers)
