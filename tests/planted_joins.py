"""Joins shifted into the future, planted in the SQL of the models that know what came before an exposure.

A plant works on the compiled SQL of a built lake: the changed model and what follows from it are written beside the
others, and the data tests read them there. Ids begin with the name of their world, `w17-u3`; each world has a shift of
its own, drawn log-uniformly from one hour to two days.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import SparkSession

# In the order in which they read each other.
RELATIONS = (
    "intermediate.int_exposures_joined_to_items",
    "intermediate.int_exposures_by_category",
    "intermediate.int_clicks_by_category",
    "intermediate.int_exposures_joined_to_users",
    "intermediate.int_exposures_joined_to_categories",
    "intermediate.int_exposures_joined_to_features",
    "marts.examples_v1",
)
DATA_TESTS = ("no_feature_is_later_than_its_exposure", "no_state_is_later_than_its_exposure")


def shift_s(user_id: str, purpose: str) -> str:
    """The shift of a user's world in seconds, as SQL."""
    return f"(3600 * pow(48D, pmod(xxhash64(substring_index({user_id}, '-', 1), '{purpose}'), 1000003) / 1000003))"


@dataclass(frozen=True, kw_only=True)
class Plant:
    """A change of one model's SQL, and the features of which at least one must be named by a data test.

    `changes` are texts of the model and what takes their place. Where a model would tell on itself (`user_known_at`),
    it is made to lie.
    """

    name: str
    relation: str
    changes: Sequence[tuple[str, str]]
    features: frozenset[str]

    def planted(self, sql: str) -> str:
        """Raises ValueError if the model no longer has the text that the plant changes."""
        for old, new in self.changes:
            if old not in sql:
                raise ValueError(f"{self.relation} no longer says {old!r}; bring the plant {self.name!r} up to it")
            sql = sql.replace(old, new)
        return sql


def _state(entity: str, *features: str) -> Plant:
    exposure = "counted.served_at"
    later = f"{exposure} + make_dt_interval(0, 0, 0, {shift_s('counted.user_id', f'{entity} state')})"
    return Plant(
        name=f"{entity} state",
        relation=f"intermediate.int_exposures_joined_to_{entity}s",
        changes=[
            (f"{exposure} > {entity}s.valid_from", f"{later} > {entity}s.valid_from"),
            (f"{exposure} <= {entity}s.valid_until", f"{later} <= {entity}s.valid_until"),
            (
                f"greatest(counted.{entity}_last_seen_at, {entity}s.valid_from) as",
                f"counted.{entity}_last_seen_at as",
            ),
        ],
        features=frozenset(features),
    )


def _window(purpose: str) -> tuple[str, str]:
    """The end of a window, a shift after the exposure: its time counts in shifts, so that one literal serves all."""
    return (
        f"order by unix_micros(known_at) / (1e6 * {shift_s('user_id', purpose)})",
        "range between unbounded preceding and 1D following",
    )


def _activity(name: str, models: str, *features: str) -> Plant:
    order, frame = _window(name)
    return Plant(
        name=f"{name} activity",
        relation=f"intermediate.int_exposures_joined_to_{models}",
        changes=[
            ("order by unix_micros(known_at)", order),
            ("range between unbounded preceding and 1 preceding", frame),
        ],
        features=frozenset(features),
    )


PLANTS = (
    _state("user", "user_segment"),
    _state("item", "content_type", "item_categories"),
    _activity("user", "users", "user_exposures", "user_clicks"),
    _activity("item", "items", "item_exposures", "item_clicks"),
    _activity("category", "categories", "user_category_exposures"),
    Plant(
        name="recent items",
        relation="intermediate.int_exposures_joined_to_users",
        changes=[
            (
                "last(recent_clicks, true) over strictly_before as",
                f"last(recent_clicks, true) over (partition by user_id, day {' '.join(_window('recent items'))}) as",
            )
        ],
        features=frozenset({"user_recent_items"}),
    ),
)

# What can stand side by side, each judged by its own features. What changed states of items make of categories would
# hide the plant there.
GROUPS = (
    tuple(plant for plant in PLANTS if plant.name == "item state"),
    tuple(plant for plant in PLANTS if plant.name != "item state"),
)


def compiled(folder: Path) -> dict[str, str]:
    """The SQL that dbt compiled into `folder`, of the models in RELATIONS and of DATA_TESTS, by relation and name."""
    texts = {path.stem: path.read_text() for path in folder.rglob("*.sql")}
    models = {relation: texts[relation.partition(".")[2]] for relation in RELATIONS}
    return models | {test: texts[test] for test in DATA_TESTS}


def faults(spark: SparkSession, sql: Mapping[str, str], plants: Sequence[Plant] = ()) -> dict[str, set[str]]:
    """The features that the data tests name, by exposure, with `plants` in place and what follows from them.

    The changed models are left behind in the schema `planted`.
    """
    changed: dict[str, str] = {}

    def redirected(text: str) -> str:
        for relation, instead in changed.items():
            text = text.replace(relation, instead)
        return text

    spark.sql("create schema if not exists planted")
    for relation in RELATIONS:
        text = redirected(sql[relation])
        for plant in plants:
            text = plant.planted(text) if plant.relation == relation else text
        if text != sql[relation]:
            instead = f"planted.{relation.partition('.')[2]}"
            spark.sql(f"create or replace table {instead} using delta as {text}")
            changed[relation] = instead
    found: dict[str, set[str]] = {}
    for test in DATA_TESTS:
        for row in spark.sql(redirected(sql[test])).collect():
            found.setdefault(row.event_id, set()).update(row.features.split(", "))
    return found
