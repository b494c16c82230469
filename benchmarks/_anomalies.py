"""Anomalies planted into a day's rows: each kind with the rule that must find it, and a word that its reason must hold.

An injector takes a day and chance, and gives the day as it would have landed; what it breaks and how badly is drawn.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks._service_days import ServiceDay, WorldFigures, figures_of_world

Inject = Callable[[ServiceDay, np.random.Generator], ServiceDay]
SEEDS = range(5)
# Eight weeks go by before a day is judged for drift; then there are 203.
WEEKS = 37
ROWS_A_DAY = 10_000
# Four days in each world, on different weekdays.
PLANT_ON = (74, 117, 160, 203)
PLAIN = ("user_age", "item_age_days", "user_exposures", "item_exposures", "user_days_known", "item_clicks")
COUNTS = ("user_exposures", "user_clicks", "item_exposures", "item_clicks")
WORDS = ("surface", "user_segment", "country", "gender", "content_type", "category")
OUTCOMES = ("acted", "clicked", "long_clicked", "saved", "hidden")


@dataclass(frozen=True)
class Kind:
    """An anomaly: what happened, which rule must say so, and a word of its reason; `inject` plants it."""

    what: str
    rule: str
    word: str
    inject: Inject


def _set(table: pa.Table, name: str, column: pa.Array | pa.ChunkedArray | np.ndarray) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, pa.chunked_array([pa.array(column)]))


def _examples(change: Callable[[pa.Table, np.random.Generator], pa.Table]) -> Inject:
    return lambda day, chance: replace(day, examples=change(day.examples, chance))


def _random(change: Callable[[pa.Table, np.random.Generator], pa.Table]) -> Inject:
    return lambda day, chance: replace(day, random_slice=change(day.random_slice, chance))


def _pick(names: Sequence[str], chance: np.random.Generator) -> str:
    return names[int(chance.integers(len(names)))]


def _some(table: pa.Table, share: float, chance: np.random.Generator) -> pa.Array:
    return pa.array(chance.random(table.num_rows) < share)


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    return table[name].to_numpy(zero_copy_only=False).astype(np.float64)


def _null_burst(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    name = _pick((*PLAIN, *WORDS), chance)
    gone = _some(table, chance.uniform(0.15, 0.6), chance)
    return _set(table, name, pc.if_else(gone, pa.scalar(None, table[name].type), table[name]))


def _all_null(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    name = _pick((*PLAIN, *WORDS), chance)
    return _set(table, name, pa.nulls(table.num_rows, table[name].type))


def _filled(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    return _set(table, "logged_affinity", pc.fill_null(table["logged_affinity"], 0.0))


def _emptied(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    name = _pick(("item_categories", "user_recent_items"), chance)
    return _set(table, name, pa.array([[]] * table.num_rows, pa.list_(pa.string())))


def _not_finite(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    name, bad = _pick(PLAIN, chance), _pick_number((np.nan, np.inf, -np.inf), chance)
    return _set(table, name, np.where(chance.random(table.num_rows) < 0.01, bad, _numbers(table, name)))


def _pick_number(numbers: Sequence[float], chance: np.random.Generator) -> float:
    return numbers[int(chance.integers(len(numbers)))]


def _times(factor: float) -> Inject:
    def inject(table: pa.Table, chance: np.random.Generator) -> pa.Table:
        name = _pick(("user_age", "item_age_days", "item_exposures", "item_click_rate"), chance)
        return _set(table, name, factor * _numbers(table, name))

    return _examples(inject)


def _sentinel(value: float, names: Sequence[str]) -> Inject:
    def inject(table: pa.Table, chance: np.random.Generator) -> pa.Table:
        name = _pick(names, chance)
        return _set(table, name, np.where(chance.random(table.num_rows) < 0.03, value, _numbers(table, name)))

    return _examples(inject)


def _constant(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    name = _pick(PLAIN, chance)
    return _set(table, name, np.full(table.num_rows, _numbers(table, name)[0]))


def _constant_word(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    name = _pick(WORDS, chance)
    return _set(table, name, pa.array([table[name][0].as_py()] * table.num_rows))


def _other_spelling(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    name = _pick(WORDS, chance)
    return _set(
        table, name, pc.if_else(_some(table, chance.uniform(0.1, 1), chance), pc.utf8_upper(table[name]), table[name])
    )


def _value_gone(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    name = _pick(("surface", "content_type", "country"), chance)
    counts = sorted(pc.value_counts(table[name]).to_pylist(), key=lambda one: -one["counts"])
    return table.filter(pc.not_equal(table[name], counts[1]["values"]))


def _clock(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    hours = int(chance.choice([-8, -6, -5, -4, 4, 5, 6, 8]))
    return _set(table, "hour_of_day", ((_numbers(table, "hour_of_day") + hours) % 24).astype(np.int32))


def _twice(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    return pa.concat_tables([table, table.filter(_some(table, chance.uniform(0.05, 0.5), chance))])


def _from_two(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    return _set(table, "position", pc.add(table["position"], 1))


def _all_first(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    return _set(table, "position", pa.array(np.ones(table.num_rows, dtype=np.int32)))


def _part_of_day(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    return table.filter(pc.less(table["hour_of_day"], int(chance.integers(8, 20))))


def _surge(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    copies = [
        _set(table, "request_id", pc.binary_join_element_wise(table["request_id"], f"copy{number}", "-"))
        for number in range(int(chance.integers(2, 5)))
    ]
    return pa.concat_tables([table, *copies])


def _bot(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    return _set(
        table, "user_id", pc.if_else(_some(table, chance.uniform(0.2, 0.6), chance), "u-robot", table["user_id"])
    )


def _merged_ids(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    name = _pick(("user_id", "item_id"), chance)
    few = chance.integers(int(chance.integers(2, 40)), size=table.num_rows)
    return _set(table, name, pa.array([f"x{number}" for number in few.tolist()]))


def _new_ids(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    """Ids under another name, of which no history is known."""
    who = _pick(("user", "item"), chance)
    table = _set(table, f"{who}_id", pc.binary_join_element_wise("v2", table[f"{who}_id"], ":"))
    for name in (f"{who}_exposures", f"{who}_clicks"):
        table = _set(table, name, np.zeros(table.num_rows))
    return table


def _leak(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    name = _pick(PLAIN, chance)
    return _set(table, name, _numbers(table, "acted") + chance.normal(0, chance.uniform(0, 0.3), table.num_rows))


def _leak_by_missing(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    name = _pick((*PLAIN, *WORDS), chance)
    return _set(table, name, pc.if_else(pc.equal(table["acted"], 1), table[name], pa.scalar(None, table[name].type)))


def _wrong_join(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    name = _pick(("match", "logged_affinity"), chance)
    return _set(table, name, table[name].take(pa.array(chance.permutation(table.num_rows))))


def _exchanged(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    one, other = (("user_age", "item_age_days"), ("user_clicks", "item_clicks"), ("match", "item_click_rate"))[
        int(chance.integers(3))
    ]
    return _set(_set(table, one, table[other]), other, table[one])


def _rounded(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    name = _pick(("match", "logged_affinity", "item_renown"), chance)
    return _set(table, name, pc.round(table[name], ndigits=0))


def _no_action(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    name = _pick(("clicked", "long_clicked", "saved", "hidden"), chance)
    return _acted(_set(table, name, np.zeros(table.num_rows, dtype=np.int32)))


def _often(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    more = (chance.random(table.num_rows) < chance.uniform(0.25, 0.9)).astype(np.int32)
    return _acted(_set(table, "clicked", np.maximum(table["clicked"].to_numpy(), more)))


def _acted(table: pa.Table) -> pa.Table:
    return _set(table, "acted", np.maximum.reduce([table[name].to_numpy() for name in OUTCOMES[1:]]))


def _contradiction(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    return _set(table, "acted", np.zeros(table.num_rows, dtype=np.int32))


def _no_action_there(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    name = _pick(("surface", "content_type"), chance)
    value = sorted(pc.value_counts(table[name]).to_pylist(), key=lambda one: -one["counts"])[0]["values"]
    there = pc.equal(table[name], value).to_numpy()
    for outcome in OUTCOMES:
        table = _set(table, outcome, np.where(there, 0, table[outcome].to_numpy()).astype(np.int32))
    return table


def _no_random(day: ServiceDay, chance: np.random.Generator) -> ServiceDay:
    examples = day.examples.filter(pc.equal(day.examples["traffic"], "policy"))
    return replace(day, examples=examples, random_slice=day.random_slice.slice(0, 0))


def _less_random(day: ServiceDay, chance: np.random.Generator) -> ServiceDay:
    requests = pc.unique(day.random_slice["request_id"])
    kept = requests.filter(_some_of(len(requests), chance.uniform(0.05, 0.3), chance))
    return replace(
        day,
        examples=day.examples.filter(
            pc.or_(pc.equal(day.examples["traffic"], "policy"), pc.is_in(day.examples["request_id"], kept))
        ),
        random_slice=day.random_slice.filter(pc.is_in(day.random_slice["request_id"], kept)),
    )


def _some_of(number: int, share: float, chance: np.random.Generator) -> pa.Array:
    some = chance.random(number) < share
    some[0] = True
    return pa.array(some)


def _only_placed(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    return table.filter(table["impressed"])


def _no_propensity(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    gone = _some(table, chance.uniform(0.02, 1), chance)
    return _set(table, "propensity", pc.if_else(gone, pa.scalar(None, pa.float64()), table["propensity"]))


def _per_cent(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    return _set(table, "propensity", pc.multiply(table["propensity"], 100.0))


def _not_whole(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    return _set(
        table, "propensity", pc.multiply(table["propensity"], _pick_number((0.25, 0.5, 0.8, 1.25, 2.0), chance))
    )


def _by_score(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    """The places that there are, given out by score in some of the requests."""
    _, request = np.unique(table["request_id"].to_numpy(zero_copy_only=False), return_inverse=True)
    place = _numbers(table, "position")
    ranked = (chance.random(request.max() + 1) < chance.uniform(0.5, 1))[request]
    by_place = np.lexsort((np.nan_to_num(place, nan=np.inf), request))
    by_score = np.lexsort((-_numbers(table, "score"), request))
    placed = np.empty(table.num_rows)
    placed[by_score] = place[by_place]
    placed = np.where(ranked, placed, place)
    table = _set(table, "position", pa.array(placed, from_pandas=True).cast(pa.int32()))
    return _set(table, "impressed", pa.array(np.isfinite(placed)))


def _skewed_draws(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    return _set(table, "draw", _numbers(table, "draw") ** chance.uniform(1.5, 3))


def _other_slices(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    return _set(table, "user_slice", pa.array(["train"] * table.num_rows))


def _empty(day: ServiceDay, chance: np.random.Generator) -> ServiceDay:
    return replace(day, examples=day.examples.slice(0, 0), random_slice=day.random_slice.slice(0, 0))


ROWS = (
    Kind("a burst of nulls", "nulls", "missing", _examples(_null_burst)),
    Kind("a feature is null", "nulls", "missing", _examples(_all_null)),
    Kind("nulls are filled", "nulls", "filled", _examples(_filled)),
    Kind("sequences are empty", "nulls", "missing", _examples(_emptied)),
    Kind("NaN or infinity", "numbers", "NaN", _examples(_not_finite)),
    Kind("unit × 100", "units", "times", _times(100)),
    Kind("unit ÷ 1,000", "units", "times", _times(0.001)),
    Kind("−1 for unknown", "numbers", "negative", _sentinel(-1, COUNTS)),
    Kind("999,999 for unknown", "numbers", "beyond", _sentinel(999_999, PLAIN)),
    Kind("a constant number", "constant", "every row", _examples(_constant)),
    Kind("a constant word", "constant", "every row", _examples(_constant_word)),
    Kind("another spelling", "values", "never seen", _examples(_other_spelling)),
    Kind("a value is gone", "values", "gone", _examples(_value_gone)),
    Kind("clock skew", "distributions", "clock", _examples(_clock)),
    Kind("rows came twice", "requests", "twice", _examples(_twice)),
    Kind("positions from 2", "requests", "position 1", _examples(_from_two)),
    Kind("every position is 1", "requests", "filled", _examples(_all_first)),
    Kind("an empty day", "days", "no row", _empty),
    Kind("a part of a day", "days", "part of the day", _examples(_part_of_day)),
    Kind("a surge", "volume", "usual day", _examples(_surge)),
    Kind("a robot", "users and items", "one user", _examples(_bot)),
    Kind("ids fall together", "users and items", "usual for as many", _examples(_merged_ids)),
    Kind("ids of another format", "users and items", "never seen", _examples(_new_ids)),
    Kind("the label leaks", "relations", "tells the outcome", _examples(_leak)),
    Kind("the label leaks by nulls", "relations", "being missing tells", _examples(_leak_by_missing)),
    Kind("a wrong join", "relations", "wrong join", _examples(_wrong_join)),
    Kind("columns exchanged", "distributions", "exchanged", _examples(_exchanged)),
    Kind("a rounded number", "stale", "rounded", _examples(_rounded)),
    Kind("an action is lost", "actions", "no ", _examples(_no_action)),
    Kind("an action too often", "actions", "click follows", _examples(_often)),
    Kind("labels contradict", "actions", "contradict", _examples(_contradiction)),
    Kind("a value loses its actions", "values", "no action where", _examples(_no_action_there)),
    Kind("no random slice", "random slice", "no random traffic", _no_random),
    Kind("too little random traffic", "random slice", "random traffic", _less_random),
    Kind("candidates are missing", "random slice", "candidates", _random(_only_placed)),
    Kind("propensities are missing", "propensities", "no propensity", _random(_no_propensity)),
    Kind("propensities in per cent", "propensities", "(0, 1]", _random(_per_cent)),
    Kind("propensities do not integrate", "propensities", "sum to", _random(_not_whole)),
    Kind("random traffic is ranked", "random order", "ordered by", _random(_by_score)),
    Kind("draws are skewed", "draws", "draws", _examples(_skewed_draws)),
    Kind("user slices changed", "random slice", "set aside", _random(_other_slices)),
)
# What the columns of a kind hold instead; None: there is no such column.
COLUMNS: dict[str, dict[str, str | None]] = {
    "a column is gone": {"numbers": None, "words": None, "lists": None},
    "a column has another type": {"numbers": "words", "words": "numbers", "lists": "words"},
}


def worlds_with_anomalies() -> list[WorldFigures]:
    """The clean days of five worlds, and every kind planted into four days of each."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        return list(processes.map(world_with_anomalies, SEEDS))


def world_with_anomalies(seed: int) -> WorldFigures:
    return figures_of_world(seed, rows_a_day=ROWS_A_DAY, weeks=WEEKS, kinds=ROWS, plant_on=PLANT_ON)
