"""The contract of the landing files, as data: the streams, and the type, nullability and range of every column."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lakehouse.dataset import ACTIONS

Kind = Literal["string", "time", "integer", "number", "boolean", "object"]

TRAFFIC = ("policy", "random")
ARMS = ("production", "canary", "holdout", "long-holdout")

SPARK_TYPES: Mapping[Kind, str] = {
    "string": "STRING",
    "time": "TIMESTAMP",
    "integer": "INT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    # The object's canonical JSON text: staging parses it, so that a new key needs no change of schema.
    "object": "STRING",
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One key of a landing row.

    `nullable`: null is a value. `optional`: the key may be left out, which then means null; all other keys must stand
    in every row. `above` is an open lower bound, `at_least` and `at_most` are closed, `below` is an open upper one.
    `values` is a closed list. Strings are never empty, times are ISO 8601 with a zone and never in the future.
    """

    name: str
    kind: Kind
    description: str
    nullable: bool = False
    optional: bool = False
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    values: tuple[str, ...] = ()

    @property
    def spark_type(self) -> str:
        return SPARK_TYPES[self.kind]

    @property
    def range(self) -> str:
        """The allowed values in words, as the documentation and an error show them."""
        if self.values:
            return " | ".join(self.values)
        bounds = (
            ("> ", self.above),
            ("≥ ", self.at_least),
            ("< ", self.below),
            ("≤ ", self.at_most),
        )
        return ", ".join(f"{sign}{bound:g}" for sign, bound in bounds if bound is not None)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One folder under landing/ and the raw table that it fills."""

    name: str
    grain: str
    columns: tuple[Column, ...]

    @property
    def table(self) -> str:
        return f"raw.{self.name}"

    def column(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise ValueError(f"name is {name!r}; {self.name} has the columns {[column.name for column in self.columns]}")


_EVENT = Column(name="event_id", kind="string", description="Names this row for good; the same on every delivery.")
_REQUEST = Column(name="request_id", kind="string", description="The ranking request that this row belongs to.")
_USER = Column(name="user_id", kind="string", description="Who saw or acted.")
_ITEM = Column(name="item_id", kind="string", description="What was shown or acted upon.")
_UPDATED_AT = Column(name="updated_at", kind="time", description="When this state became known.")

EXPOSURES = Stream(
    name="exposures",
    grain="One row per (request, item) logged; on a random request every candidate lands, placed or not.",
    columns=(
        _EVENT,
        _REQUEST,
        _USER,
        _ITEM,
        Column(
            name="position",
            kind="integer",
            nullable=True,
            at_least=1,
            description="Place in the list, from 1; null only where impressed is false. "
            "A log without positions writes 1 and declares `positions: false`.",
        ),
        Column(name="surface", kind="string", description="Where in the product the list stood."),
        Column(name="served_at", kind="time", description="When the request was answered."),
        Column(name="impressed", kind="boolean", description="Whether the user saw it; false is never a negative."),
        Column(name="traffic", kind="string", values=TRAFFIC, description="Who chose: a policy, or uniform chance."),
        Column(name="release_id", kind="string", nullable=True, description="The release that ranked, if one did."),
        Column(
            name="propensity",
            kind="number",
            nullable=True,
            above=0,
            at_most=1,
            description="Probability that the logging policy put this item here; required on random traffic, "
            "null where a policy's is unknown.",
        ),
        Column(
            name="logging_probability",
            kind="number",
            above=0,
            at_most=1,
            description="Probability that this row is kept if nobody acts on it; the same on acted rows; "
            "1 on random traffic.",
        ),
        Column(
            name="logging_draw",
            kind="number",
            at_least=0,
            below=1,
            description="The draw that decided it: kept if below logging_probability or acted upon.",
        ),
        Column(name="score", kind="number", nullable=True, description="What the ranker gave it."),
        Column(name="features", kind="object", description="The features as served, by name; {} if none was logged."),
        Column(name="features_as_of", kind="time", nullable=True, description="When the features were read."),
    ),
)

ENGAGEMENTS = Stream(
    name="engagements",
    grain="One row per action of a user on an item.",
    columns=(
        _EVENT,
        _REQUEST,
        _USER,
        _ITEM,
        Column(name="action", kind="string", values=ACTIONS, description="What the user did."),
        Column(name="value", kind="number", nullable=True, description="How much of it: seconds, stars …"),
        Column(name="engaged_at", kind="time", description="When it was done."),
        # What makes an example where the exposure itself did not land.
        Column(name="served_at", kind="time", nullable=True, optional=True, description="As in exposures."),
        Column(
            name="position", kind="integer", nullable=True, optional=True, at_least=1, description="As in exposures."
        ),
        Column(
            name="traffic",
            kind="string",
            nullable=True,
            optional=True,
            values=TRAFFIC,
            description="As in exposures.",
        ),
        Column(name="surface", kind="string", nullable=True, optional=True, description="As in exposures."),
        Column(name="release_id", kind="string", nullable=True, optional=True, description="As in exposures."),
        Column(
            name="logging_probability",
            kind="number",
            nullable=True,
            optional=True,
            above=0,
            at_most=1,
            description="As in exposures.",
        ),
        Column(name="features", kind="object", nullable=True, optional=True, description="As in exposures."),
    ),
)

ITEMS = Stream(
    name="items",
    grain="One row per (item, updated_at): the item's state as it became known.",
    columns=(
        _ITEM,
        _UPDATED_AT,
        Column(
            name="attributes",
            kind="object",
            description="content_type (string), categories (strings), published_at (time or null), title (string).",
        ),
    ),
)

USERS = Stream(
    name="users",
    grain="One row per (user, updated_at): the user's state as it became known.",
    columns=(
        _USER,
        _UPDATED_AT,
        Column(
            name="attributes",
            kind="object",
            description="segment, country, gender (strings), age (number); any may be absent.",
        ),
    ),
)

REQUESTS = Stream(
    name="requests",
    grain="One row per ranking that our server was asked for; a log without that server has none.",
    columns=(
        _REQUEST,
        Column(name="user_id", kind="string", description="Who asked."),
        Column(name="surface", kind="string", description="Where in the product the list was to stand."),
        Column(name="served_at", kind="time", description="When the request was answered."),
        Column(name="traffic", kind="string", values=TRAFFIC, description="Who chose: a policy, or uniform chance."),
        Column(name="release_id", kind="string", description="The release that answered."),
        Column(name="arm", kind="string", values=ARMS, description="Whose user it was; see docs/rollout.md."),
        Column(
            name="canary_share",
            kind="number",
            nullable=True,
            above=0,
            at_most=1,
            description="Share of the users that the canary had then; null where there was none.",
        ),
        Column(name="pointer_version", kind="integer", at_least=1, description="The pointer by which it was ranked."),
        Column(
            name="failed",
            kind="boolean",
            description="Whether the release of the arm failed; production answered in its place, if it could.",
        ),
        Column(name="latency_ms", kind="number", at_least=0, description="From the first byte to the answer."),
        Column(name="ranked_ms", kind="number", at_least=0, description="Of it, what features and model took."),
        Column(name="num_candidates", kind="integer", at_least=1, description="Candidates that were ranked."),
        Column(name="memory_bytes", kind="number", at_least=0, description="Resident memory of the server then."),
    ),
)

STREAMS: Mapping[str, Stream] = {stream.name: stream for stream in (EXPOSURES, ENGAGEMENTS, ITEMS, USERS, REQUESTS)}
