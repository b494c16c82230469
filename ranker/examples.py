"""Examples: the rows of an examples table as tensors and arrays, read column by column from Arrow."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from ranker.hashing import MISSING, buckets
from ranker.spec import Feature, FeatureSpec

NO_POSITION = 0
ONLY_SURFACE = "(all)"


@dataclass(frozen=True)
class Codes:
    """A text column as small integers: row i holds names[codes[i]]."""

    codes: npt.NDArray[np.int64]
    names: tuple[str, ...]

    @classmethod
    def of(cls, values: pa.ChunkedArray) -> "Codes":
        """Names in sorted order, so that codes depend on content alone; null is named '(missing)'."""
        text = pc.fill_null(pc.cast(values, pa.large_string()), "(missing)").combine_chunks()
        encoded = text.dictionary_encode()
        names = np.array(encoded.dictionary.to_pylist(), dtype=object)
        order = np.argsort(names)
        rank = np.empty(len(names), dtype=np.int64)
        rank[order] = np.arange(len(names))
        return cls(rank[encoded.indices.to_numpy(zero_copy_only=False)], tuple(names[order].tolist()))

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> "Codes":
        return Codes(self.codes[rows], self.names)


@dataclass(frozen=True, kw_only=True)
class Examples:
    """B examples with C categorical, N numeric and Q sequence features and A actions.

    categorical_BC   int64 buckets, 0 = missing
    numeric_BN       float32, 0 where missing;  missing_BN bool
    sequence_BL[q]   int64 buckets of the q-th sequence, padded with 0
    labels_BA        float32 0/1 in the order of `actions`;  acted_B float32 0/1
    position_B       int64 from 1; 0 where the table has none
    random_B         bool: of random traffic, that is, `traffic` is 'random'
    negative_keep_probability_B  float64: what the stratum gives a row without action; 1 where nothing was sampled
    served_at_B      int64 microseconds since 1970 UTC
    event, request, user, item, surface and the segments are kept for joins, clustering and reports.
    """

    actions: tuple[str, ...]
    categorical_BC: Tensor
    numeric_BN: Tensor
    missing_BN: Tensor
    sequences: tuple[Tensor, ...]
    labels_BA: Tensor
    acted_B: Tensor
    position_B: Tensor
    random_B: Tensor
    negative_keep_probability_B: Tensor
    served_at_B: npt.NDArray[np.int64]
    event_ids: pa.Array
    request_ids: pa.Array
    item_ids: pa.Array
    user: Codes
    surface: Codes
    segments: dict[str, Codes]

    def __len__(self) -> int:
        return len(self.acted_B)

    def __getitem__(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> "Examples":
        """The examples at `rows` (indices in any order, or a mask)."""
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.int64)
        index = torch.from_numpy(np.ascontiguousarray(rows))
        return Examples(
            actions=self.actions,
            categorical_BC=self.categorical_BC[index],
            numeric_BN=self.numeric_BN[index],
            missing_BN=self.missing_BN[index],
            sequences=tuple(sequence_BL[index] for sequence_BL in self.sequences),
            labels_BA=self.labels_BA[index],
            acted_B=self.acted_B[index],
            position_B=self.position_B[index],
            random_B=self.random_B[index],
            negative_keep_probability_B=self.negative_keep_probability_B[index],
            served_at_B=self.served_at_B[rows],
            event_ids=self.event_ids.take(pa.array(rows)),
            request_ids=self.request_ids.take(pa.array(rows)),
            item_ids=self.item_ids.take(pa.array(rows)),
            user=self.user[rows],
            surface=self.surface[rows],
            segments={name: codes[rows] for name, codes in self.segments.items()},
        )

    def split(self, *shares: float) -> tuple["Examples", ...]:
        """Consecutive parts in row order that end at these shares of the rows, and the rest.

        Raises ValueError if the shares do not rise from 0 to 1.
        """
        if list(shares) != sorted(shares) or not all(0 <= share <= 1 for share in shares):
            raise ValueError(f"shares are {shares}; they must rise within [0, 1]")
        ends = [round(share * len(self)) for share in shares]
        return tuple(self[rows] for rows in np.split(np.arange(len(self)), ends))

    def label(self, action: str) -> npt.NDArray[np.float64]:
        """The 0/1 outcomes of `action`, or of any action at all for 'acted'."""
        if action == "acted":
            return self.acted_B.numpy().astype(np.float64)
        if action not in self.actions:
            raise ValueError(f"action is {action!r}; these examples know 'acted' and {self.actions}")
        return self.labels_BA[:, self.actions.index(action)].numpy().astype(np.float64)

    @cached_property
    def request_codes(self) -> npt.NDArray[np.int64]:
        """The request of each row as a small integer."""
        return _numbered(self.request_ids)

    @cached_property
    def item_codes(self) -> npt.NDArray[np.int64]:
        """The item of each row as a small integer."""
        return _numbered(self.item_ids)

    @property
    def has_positions(self) -> bool:
        return bool((self.position_B != NO_POSITION).any())

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """Rows of the full log that each row stands for: 1 if acted, else 1 / negative_keep_probability."""
        return np.where(self.acted_B.numpy() > 0, 1.0, 1.0 / self.negative_keep_probability_B.numpy())

    @classmethod
    def from_arrow(
        cls, table: pa.Table, *, spec: FeatureSpec, actions: tuple[str, ...] | list[str] | None = None
    ) -> "Examples":
        """Read a table in its own row order.

        `actions` are those that the data set knows, each with a label in the spec; by default all of these.
        Raises ValueError if a column is missing, a label is not 0/1, an action was taken on a row that is not
        acted, a single action differs from acted, or a keep probability lies outside (0, 1].
        """
        actions = spec.actions if actions is None else tuple(actions)
        if not actions:
            raise ValueError("actions is empty; name at least one that the data set knows")
        # Rows that are to be ranked were sampled by nobody, and are of no traffic yet.
        wanted = set(spec.columns()) - {spec.negative_keep_probability, spec.traffic}
        absent = sorted(wanted - set(table.column_names))
        if absent:
            raise ValueError(f"the table lacks the columns {absent} that the spec of {spec.relation} names")
        rows = table.num_rows
        keep = spec.negative_keep_probability
        sampled = keep is not None and keep in table.column_names
        labels_BA = _stack([_zero_or_one(table[spec.label_of(a)], spec.label_of(a)) for a in actions], rows).float()
        examples = cls(
            actions=actions,
            categorical_BC=_stack(
                [buckets(table[f.name], feature=f.name, cardinality=f.cardinality) for f in spec.categorical], rows
            ),
            numeric_BN=_stack([_numeric(table[f.name], f.name) for f in spec.numeric], rows).float().nan_to_num(0.0),
            missing_BN=_stack([np.isnan(_numeric(table[f.name], f.name)) for f in spec.numeric], rows).bool(),
            sequences=tuple(_sequence(table[f.name], f, hashed_as=spec.hashed_as(f)) for f in spec.sequences),
            labels_BA=labels_BA,
            acted_B=torch.from_numpy(_zero_or_one(table[spec.acted], spec.acted)).float()
            if spec.acted
            else labels_BA.sum(1).clamp(max=1),
            position_B=torch.from_numpy(_positions(table, spec)),
            random_B=torch.from_numpy(_is_random(table, spec)),
            negative_keep_probability_B=torch.from_numpy(
                _numeric(table[keep], str(keep)) if sampled else np.ones(rows)
            ),
            served_at_B=_microseconds(table[spec.time], spec.time),
            event_ids=_text(table[spec.event]),
            request_ids=_text(table[spec.request]),
            item_ids=_text(table[spec.item]),
            user=Codes.of(table[spec.user]),
            surface=Codes.of(table[spec.surface]) if spec.surface else one_surface(rows),
            segments={name: Codes.of(table[name]) for name in spec.segments},
        )
        examples._check()
        return examples

    @classmethod
    def chunks(
        cls,
        batches: pa.RecordBatchReader,
        *,
        spec: FeatureSpec,
        actions: tuple[str, ...] | list[str] | None = None,
        num_rows: int = 100_000,
    ) -> Iterator["Examples"]:
        """The rows of a reader, at least `num_rows` at a time, as `from_arrow` reads them; one chunk without rows if
        there are none. Raises ValueError as `from_arrow` does, when the rows come.
        """
        waiting: list[pa.RecordBatch] = []
        empty = True
        for batch in batches:
            waiting.append(batch)
            if sum(map(len, waiting)) >= num_rows:
                yield cls.from_arrow(pa.Table.from_batches(waiting), spec=spec, actions=actions)
                waiting, empty = [], False
        if waiting or empty:
            table = pa.Table.from_batches(waiting, schema=batches.schema)
            yield cls.from_arrow(table, spec=spec, actions=actions)

    def _check(self) -> None:
        keep_B = self.negative_keep_probability_B
        if not bool(((keep_B > 0) & (keep_B <= 1)).all()):
            raise ValueError("negative_keep_probability has null values or values outside (0, 1]")
        any_action_B = self.labels_BA.amax(1) if len(self) else self.acted_B
        stray = int((any_action_B > self.acted_B).sum())
        if stray:
            raise ValueError(f"{stray} of {len(self)} rows carry an action but are not acted")
        unknown = int((any_action_B < self.acted_B).sum()) if len(self.actions) == 1 else 0
        if unknown:
            raise ValueError(
                f"{unknown} of {len(self)} rows are acted without {self.actions[0]!r}, the only action named; "
                "name the other actions too"
            )


def _stack(columns: list[npt.NDArray[np.generic]], rows: int) -> Tensor:
    stacked = np.stack(columns, axis=1) if columns else np.zeros((rows, 0))
    return torch.from_numpy(np.ascontiguousarray(stacked)) if columns else torch.zeros((rows, 0), dtype=torch.int64)


def _numbered(ids: pa.Array) -> npt.NDArray[np.int64]:
    """Each id as a small integer, in the order in which they first occur."""
    return ids.dictionary_encode().indices.to_numpy().astype(np.int64)


def _text(values: pa.ChunkedArray) -> pa.Array:
    return pc.cast(values, pa.large_string()).combine_chunks()


def _numeric(values: pa.ChunkedArray, name: str) -> npt.NDArray[np.float64]:
    """Float64 with NaN for null; infinities count as missing too."""
    try:
        numbers = pc.cast(values, pa.float64())
    except pa.ArrowNotImplementedError as error:
        raise ValueError(f"column {name!r} is {values.type}; a number was expected") from error
    array = np.array(pc.fill_null(numbers, float("nan")).to_numpy(), dtype=np.float64)
    array[np.isinf(array)] = np.nan
    return array


def _zero_or_one(values: pa.ChunkedArray, name: str) -> npt.NDArray[np.float64]:
    array = _numeric(values, name)
    if not np.isin(array, (0.0, 1.0)).all():
        raise ValueError(f"label {name!r} holds values other than 0 and 1 (null counts as one)")
    return array


def _positions(table: pa.Table, spec: FeatureSpec) -> npt.NDArray[np.int64]:
    if spec.position is None:
        return np.full(table.num_rows, NO_POSITION, dtype=np.int64)
    positions = np.nan_to_num(_numeric(table[spec.position], spec.position), nan=NO_POSITION).astype(np.int64)
    if (positions < 0).any():
        raise ValueError(f"{spec.position!r} has {int((positions < 0).sum())} negative values; positions count from 1")
    return positions


def _is_random(table: pa.Table, spec: FeatureSpec) -> npt.NDArray[np.bool_]:
    if spec.traffic is None or spec.traffic not in table.column_names:
        return np.zeros(table.num_rows, dtype=bool)
    traffic = pc.cast(table[spec.traffic], pa.large_string())
    return pc.fill_null(pc.equal(traffic, "random"), False).to_numpy().copy()


def _microseconds(values: pa.ChunkedArray, name: str) -> npt.NDArray[np.int64]:
    if not pa.types.is_timestamp(values.type) or values.null_count:
        raise ValueError(f"{name!r} is {values.type} with {values.null_count} nulls; a timestamp without was expected")
    return pc.cast(pc.cast(values, pa.timestamp("us", tz=values.type.tz), safe=False), pa.int64()).to_numpy().copy()


def one_surface(rows: int) -> Codes:
    """What rows have that tell of no surface."""
    return Codes(np.zeros(rows, dtype=np.int64), (ONLY_SURFACE,))


def _sequence(values: pa.ChunkedArray, feature: Feature, *, hashed_as: Feature) -> Tensor:
    """The first max_length elements of each list as buckets, padded with MISSING."""
    lists = values.combine_chunks()
    if not (pa.types.is_list(lists.type) or pa.types.is_large_list(lists.type)):
        raise ValueError(f"column {feature.name!r} is {lists.type}; a list was expected")
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    elements = buckets(lists.flatten(), feature=hashed_as.name, cardinality=hashed_as.cardinality)
    row = np.repeat(np.arange(len(lengths)), lengths)
    column = np.arange(len(elements)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    padded_BL = np.full((len(lengths), feature.max_length), MISSING, dtype=np.int64)
    fits = column < feature.max_length
    padded_BL[row[fits], column[fits]] = elements[fits]
    return torch.from_numpy(padded_BL)
