"""The feature spec: which columns a ranker reads, and as what. JSON in, checked, JSON out."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import pyarrow as pa

Kind = Literal["numeric", "categorical", "sequence"]
_ID_ROLES = ("event", "request", "user", "item", "time")
_OPTIONAL_ROLES = ("acted", "position", "surface", "traffic", "negative_keep_probability")
# Columns of a plain table that are not named as their role.
_ROLE_COLUMNS = {
    "event": "event_id",
    "request": "request_id",
    "user": "user_id",
    "item": "item_id",
    "time": "served_at",
}
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One input column. `cardinality` is the number of hash buckets; `max_length` caps a sequence.

    of: the categorical feature whose values a sequence holds, as a user's recent items hold items. The two then share
    buckets and embeddings, and the ranker compares each element with the candidate's value.
    """

    name: str
    kind: Kind
    cardinality: int = 0
    max_length: int = 0
    of: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind of feature {self.name!r} is {self.kind!r}; it must be one of {get_args(Kind)}")
        if self.of and self.kind != "sequence":
            raise ValueError(
                f"{self.kind} feature {self.name!r} is of {self.of!r}; only a sequence holds another's values"
            )
        if (self.kind == "numeric" or bool(self.of)) != (self.cardinality == 0) or self.cardinality < 0:
            raise ValueError(
                f"cardinality of {self.kind} feature {self.name!r} is {self.cardinality}; categorical and sequence "
                "features need at least 1 bucket, numeric ones and sequences `of` another feature have none"
            )
        if (self.kind == "sequence") != (self.max_length > 0) or self.max_length < 0:
            raise ValueError(
                f"max_length of {self.kind} feature {self.name!r} is {self.max_length}; "
                "sequence features need at least 1, others have none"
            )


@dataclass(frozen=True, kw_only=True)
class Label:
    """A 0/1 column and the action that it records."""

    name: str
    action: str


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """The columns of an examples table by role.

    `acted`, `position`, `surface`, `traffic` and `negative_keep_probability` are None where the table has no such
    column: then a row is acted if it has any of the labels, no position logit is learnt, all rows share one surface,
    none is of random traffic, and every row counts as unsampled.
    """

    relation: str
    event: str
    request: str
    user: str
    item: str
    time: str
    labels: tuple[Label, ...]
    features: tuple[Feature, ...]
    segments: tuple[str, ...] = ()
    acted: str | None = None
    position: str | None = None
    surface: str | None = None
    traffic: str | None = None
    negative_keep_probability: str | None = None

    def __post_init__(self) -> None:
        if not self.features:
            raise ValueError("features is empty; a ranker needs at least one")
        if not self.labels:
            raise ValueError("labels is empty; a ranker needs at least one action to predict")
        for what, names in (
            ("features", [feature.name for feature in self.features]),
            ("labels", [label.name for label in self.labels]),
            ("actions", [label.action for label in self.labels]),
            ("segments", list(self.segments)),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what} names {twice} more than once")
        if "acted" in (label.action for label in self.labels):
            raise ValueError("an action is called 'acted'; that name is taken by the head for any action at all")
        for action in (label.action for label in self.labels):
            if not _PLAIN_NAME.fullmatch(action):
                raise ValueError(f"action {action!r} must be letters, digits and underscores")
        for feature in self.features:
            if feature.of and feature.of not in (other.name for other in self.categorical):
                raise ValueError(f"{feature.name!r} is of {feature.of!r}, which is no categorical feature")
        leaks = {feature.name for feature in self.features} & {self.acted, *(label.name for label in self.labels)}
        if leaks:
            raise ValueError(f"{sorted(leaks)} are labels and features at once: the outcome would predict itself")

    @property
    def actions(self) -> tuple[str, ...]:
        return tuple(label.action for label in self.labels)

    @property
    def numeric(self) -> tuple[Feature, ...]:
        return tuple(feature for feature in self.features if feature.kind == "numeric")

    @property
    def categorical(self) -> tuple[Feature, ...]:
        return tuple(feature for feature in self.features if feature.kind == "categorical")

    @property
    def sequences(self) -> tuple[Feature, ...]:
        return tuple(feature for feature in self.features if feature.kind == "sequence")

    @property
    def vocabularies(self) -> tuple[Feature, ...]:
        """The features with hash buckets of their own, the categorical ones first."""
        return (*self.categorical, *(feature for feature in self.sequences if not feature.of))

    def hashed_as(self, feature: Feature) -> Feature:
        """The feature whose buckets the values of `feature` fall into: itself, or the one that it is `of`."""
        return next(other for other in self.features if other.name == (feature.of or feature.name))

    def label_of(self, action: str) -> str:
        """The column that records `action`; raises ValueError if there is none."""
        for label in self.labels:
            if label.action == action:
                return label.name
        raise ValueError(f"action is {action!r}; the spec has labels for {self.actions}")

    def inputs(self) -> tuple[str, ...]:
        """What must be known of a row to rank it: its features, segments and surface, each once."""
        names = [*(feature.name for feature in self.features), *self.segments, *filter(None, [self.surface])]
        return tuple(dict.fromkeys(names))

    def columns(self) -> tuple[str, ...]:
        """Every column that `Examples.from_arrow` reads, each once; those of sampling and traffic may be absent in
        the table."""
        ids = [getattr(self, role) for role in (*_ID_ROLES, *_OPTIONAL_ROLES)]
        names = [*ids, *(label.name for label in self.labels), *self.segments, *(f.name for f in self.features)]
        return tuple(dict.fromkeys(name for name in names if name is not None))

    @classmethod
    def from_schema(
        cls,
        schema: pa.Schema,
        *,
        labels: Mapping[str, str],
        categorical: Collection[str] = (),
        ignore: Collection[str] = (),
        segments: Sequence[str] = (),
        sequences_of: Mapping[str, str] | None = None,
        cardinality: int = 16384,
        max_length: int = 20,
    ) -> "FeatureSpec":
        """The spec of a plain table whose roles stand in its column names: event_id, request_id, user_id, item_id and
        served_at, and where they are there acted, position, surface, traffic and negative_keep_probability.

        labels: {column: action}. Every other column is a feature by its type: text is categorical, a number is numeric
        (one named in `categorical` is not), a list is a sequence. User and item ids and the surface are features too.
        sequences_of: {list column: the categorical column whose values it holds}.

        Raises ValueError for a role that is missing, and for a column that can be no feature and is not in `ignore`.

        >>> schema = pa.schema([("event_id", "string"), ("request_id", "string"), ("user_id", "string"),
        ...     ("item_id", "string"), ("served_at", pa.timestamp("us", "UTC")), ("clicked", "int8"), ("age", "float")])
        >>> spec = FeatureSpec.from_schema(schema, labels={"clicked": "click"})
        >>> [(feature.name, feature.kind) for feature in spec.features]
        [('user_id', 'categorical'), ('item_id', 'categorical'), ('age', 'numeric')]
        """
        roles = {role: _ROLE_COLUMNS.get(role, role) for role in (*_ID_ROLES, *_OPTIONAL_ROLES)}
        of = sequences_of or {}
        wanted = [*(roles[role] for role in _ID_ROLES), *labels, *categorical, *ignore, *segments, *of]
        missing = sorted(set(wanted) - set(schema.names))
        if missing:
            raise ValueError(f"the table lacks {missing}; it has {schema.names}")
        found = {role: column for role, column in roles.items() if column in schema.names}
        no_features = {*found.values(), *labels, *ignore} - {roles["user"], roles["item"], roles["surface"]}
        features, odd = [], []
        for column in schema:
            if column.name in no_features:
                continue
            if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
                other = of.get(column.name, "")
                features.append(
                    Feature(
                        name=column.name,
                        kind="sequence",
                        cardinality=0 if other else cardinality,
                        max_length=max_length,
                        of=other,
                    )
                )
            elif column.name in categorical or _is_text(column.type):
                features.append(Feature(name=column.name, kind="categorical", cardinality=cardinality))
            elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
                features.append(Feature(name=column.name, kind="numeric"))
            else:
                odd.append(f"{column.name} ({column.type})")
        if odd:
            raise ValueError(f"{', '.join(odd)} can be no feature; turn them into numbers or text, or `ignore` them")
        return cls(
            relation="a plain table",
            labels=tuple(Label(name=column, action=action) for column, action in labels.items()),
            features=tuple(features),
            segments=tuple(segments),
            **found,
        )

    def to_json(self) -> dict[str, Any]:
        """The spec as plain JSON data; `from_json` of it gives an equal spec."""
        content = asdict(self)
        content["labels"] = [asdict(label) for label in self.labels]
        content["features"] = [
            {key: value for key, value in asdict(feature).items() if value} for feature in self.features
        ]
        content["segments"] = list(self.segments)
        return {key: value for key, value in content.items() if value is not None}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "FeatureSpec":
        """Read the spec from JSON data.

        Raises ValueError for a missing or unknown key, or for values that the classes above refuse.

        >>> spec = FeatureSpec.from_json({
        ...     "relation": "marts.examples_v1", "event": "event_id", "request": "request_id", "user": "user_id",
        ...     "item": "item_id", "time": "served_at", "acted": "acted",
        ...     "labels": [{"name": "clicked", "action": "click"}],
        ...     "features": [{"name": "user_id", "kind": "categorical", "cardinality": 1024},
        ...                  {"name": "item_age_days", "kind": "numeric"}]})
        >>> spec.actions, [feature.name for feature in spec.numeric]
        (('click',), ['item_age_days'])
        """
        required = {"relation", *_ID_ROLES, "labels", "features"}
        allowed = required | {"segments", *_OPTIONAL_ROLES}
        missing, unknown = required - set(content), set(content) - allowed
        if missing or unknown:
            raise ValueError(f"the feature spec lacks {sorted(missing)} and has unknown keys {sorted(unknown)}")
        parts = dict(content)
        parts["labels"] = tuple(_part(Label, label) for label in content["labels"])
        parts["features"] = tuple(_part(Feature, feature) for feature in content["features"])
        parts["segments"] = tuple(content.get("segments", ()))
        return cls(**parts)


def _is_text(type: pa.DataType) -> bool:
    words = type.value_type if pa.types.is_dictionary(type) else type
    return pa.types.is_string(words) or pa.types.is_large_string(words) or pa.types.is_boolean(words)


def _part(kind: type[Any], content: dict[str, Any]) -> Any:
    try:
        return kind(**content)
    except TypeError as error:
        raise ValueError(f"{kind.__name__.lower()} {content} in the feature spec: {error}") from None
