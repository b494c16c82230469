"""The rows of a training set as tensors, shuffled by seed: in memory, or in files that hold a share of them each.

Shapes: B rows, C categorical, N numeric and L sequence values of a row, H heads.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from ranker.examples import Codes, Examples
from ranker.ranks import Ranks

# Of rows in files, each file holds about as many, so that one of them is all that is in memory.
NUM_FILES = 64
Teacher = Tensor | Callable[[Examples], Tensor] | None


@dataclass(frozen=True, kw_only=True)
class Rows:
    """B rows of what a training step needs, in the smallest types that hold it.

    key_B                int64 hash of the event id
    served_at_B          int64 microseconds since 1970 UTC
    categorical_BC       int32 buckets;  sequence_BL int32, all sequences beside each other
    numeric_BN           float32;  missing_BN bool
    labels_BH            float32, acted first
    surface_B            int32;  position_B int32
    negative_keep_probability_B  float32
    weight_B             float32, what the row's loss counts
    teacher_logits_BH    float32; of width 0 without a teacher
    """

    key_B: Tensor
    served_at_B: Tensor
    categorical_BC: Tensor
    sequence_BL: Tensor
    numeric_BN: Tensor
    missing_BN: Tensor
    labels_BH: Tensor
    surface_B: Tensor
    position_B: Tensor
    negative_keep_probability_B: Tensor
    weight_B: Tensor
    teacher_logits_BH: Tensor

    def __len__(self) -> int:
        return len(self.key_B)

    def columns(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def take(self, index_B: Tensor) -> "Rows":
        return Rows(**{name: column.index_select(0, index_B) for name, column in self.columns().items()})

    def to(self, device: torch.device) -> "Rows":
        return Rows(**{name: column.to(device) for name, column in self.columns().items()})

    @classmethod
    def of(
        cls, examples: Examples, *, surface_B: Tensor, teacher_logits_BH: Tensor | None, random_weight: float
    ) -> "Rows":
        size = len(examples)
        return cls(
            key_B=torch.from_numpy(row_keys(examples.event_ids)),
            served_at_B=torch.from_numpy(examples.served_at_B),
            categorical_BC=examples.categorical_BC.int(),
            sequence_BL=torch.cat([torch.zeros(size, 0), *examples.sequences], dim=1).int(),
            numeric_BN=examples.numeric_BN,
            missing_BN=examples.missing_BN,
            labels_BH=labels_of(examples),
            surface_B=surface_B.int(),
            position_B=examples.position_B.int(),
            negative_keep_probability_B=examples.negative_keep_probability_B.float(),
            weight_B=torch.where(examples.random_B, random_weight, 1.0),
            teacher_logits_BH=torch.zeros(size, 0) if teacher_logits_BH is None else teacher_logits_BH.float(),
        )


class TrainingRows:
    """All rows of a training set that this rank has, in parts: one in memory, or files of rows with like keys.

    Which part a row is in, and its place there, follow from its event id: the same rows give the same training,
    whatever the layout that they were read from.
    """

    def __init__(
        self,
        chunks: Iterable[Examples],
        *,
        teacher: Teacher = None,
        random_weight: float = 1.0,
        folder: Path | None = None,
    ) -> None:
        """Take in all chunks. `folder` is where files are made for rows that shall not stay in memory.

        `teacher` says what the teacher thinks of a chunk: bare logits (B, H) at the position shown. A row of random
        traffic counts `random_weight` in the loss, others 1.
        Raises ValueError without a chunk, if chunks know different actions, if logits do not fit, or if an event id
        occurs twice (what a row is then depends on the layout).
        """
        self._scratch = TemporaryDirectory(dir=folder, prefix="rows-") if folder else None
        self._surfaces: dict[str, int] = {}
        self.ranks = Ranks.current()
        whole: list[Rows] = []
        self.num_rows_P = np.zeros(NUM_FILES if folder else 1, dtype=np.int64)
        chunks = iter(chunks)
        first = next(chunks, None)
        if first is None:
            raise ValueError("there is no chunk of examples; even an empty table is one")
        self.actions = first.actions
        self._random_weight = random_weight
        self._template = Rows.of(
            first[np.arange(0)], surface_B=torch.zeros(0), teacher_logits_BH=None, random_weight=random_weight
        )
        for chunk in chain([first], chunks):
            rows = self._rows(chunk, teacher)
            self._template = rows.take(torch.arange(0))
            if self._scratch is None:
                whole.append(rows)
                self.num_rows_P[0] += len(rows)
            else:
                self._write(rows)
        self.surfaces = tuple(sorted(set(chain(*self.ranks.each(tuple(self._surfaces))))))
        self._place = torch.tensor([self.surfaces.index(name) for name in self._surfaces], dtype=torch.int32)
        self._whole = None if self._scratch else self._in_order(_joined(whole))
        self.num_rows_RP = np.stack(self.ranks.each(self.num_rows_P))

    def __len__(self) -> int:
        """The rows of all ranks."""
        return int(self.num_rows_RP.sum())

    def close(self) -> None:
        """Delete the files, if there are any."""
        if self._scratch is not None:
            self._scratch.cleanup()

    @property
    def num_parts(self) -> int:
        return len(self.num_rows_P)

    def part(self, number: int) -> Rows:
        """The rows of a part in the order of their keys."""
        return self._whole if self._whole is not None else self._in_order(self._read(number))

    def parts(self) -> Iterator[Rows]:
        return (self.part(number) for number in range(self.num_parts))

    def total(self, of: Callable[[Rows], Tensor]) -> Tensor:
        """The sum of what `of` says of each part, over the parts of all ranks."""
        return self.ranks.total(torch.stack([of(part) for part in self.parts()]).sum(0))

    def sample(self, num_rows: int) -> Rows:
        """About so many rows of all ranks, drawn by key: each rank's share of them."""
        own = round(num_rows * int(self.num_rows_P.sum()) / max(len(self), 1))
        found, taken = [self._template], 0
        for rows in self.parts():
            found.append(rows.take(torch.arange(min(len(rows), own - taken))))
            taken += len(found[-1])
            if taken >= own:
                break
        return _joined(found)

    def num_steps(self, batch_size: int) -> int:
        """Batches of one epoch, the same on every rank."""
        return int(self._steps_P(batch_size).sum())

    def batches(
        self, *, batch_size: int, seed: int, epoch: int, first: int = 0, device: str = "cpu"
    ) -> Iterator[tuple[Rows, int]]:
        """The batches of one epoch from the `first` on, each with the number of rows that all ranks have in it.

        Every row is in one batch. On disk positives come first; training never sees that order: parts come in an order
        drawn from (seed, epoch), and rows are permuted within their part. Ranks take as many steps each: in every step,
        a rank has an equal share of its rows.
        """
        steps_P = self._steps_P(batch_size)
        for number in permutation(self.num_parts, seed, epoch).tolist():
            skipped, first = min(first, steps_P[number]), max(0, first - steps_P[number])
            if skipped == steps_P[number]:
                continue
            rows = self.part(number).to(torch.device(device))
            order = permutation(len(rows), seed, epoch, number, self.ranks.rank)
            together = np.sum([_share(num_rows, steps_P[number]) for num_rows in self.num_rows_RP[:, number]], axis=0)
            own = np.split(order, _share(len(rows), steps_P[number]).cumsum()[:-1])
            for step in range(skipped, steps_P[number]):
                yield rows.take(torch.from_numpy(own[step]).to(device)), int(together[step])

    def _steps_P(self, batch_size: int) -> npt.NDArray[np.int64]:
        return -(-self.num_rows_RP.sum(axis=0) // batch_size)

    def _rows(self, chunk: Examples, teacher: Teacher) -> Rows:
        if chunk.actions != self.actions:
            raise ValueError(f"a chunk knows the actions {chunk.actions}, the first one {self.actions}")
        for name in chunk.surface.names:
            self._surfaces.setdefault(name, len(self._surfaces))
        logits_BH = teacher(chunk) if callable(teacher) else teacher
        if logits_BH is not None:
            expected = (len(chunk), self._template.labels_BH.shape[1])
            if tuple(logits_BH.shape) != expected or not bool(logits_BH.isfinite().all()):
                raise ValueError(
                    f"teacher_logits_BH has shape {tuple(logits_BH.shape)}; finite logits of shape {expected}, acted "
                    f"first and then those of {self.actions} given acted, were expected"
                )
        return Rows.of(
            chunk,
            surface_B=_numbers(chunk.surface, self._surfaces),
            teacher_logits_BH=logits_BH,
            random_weight=self._random_weight,
        )

    def _write(self, rows: Rows) -> None:
        assert self._scratch is not None
        file_B = (rows.key_B >> 32) % NUM_FILES
        for number in file_B.unique().tolist():
            own = rows.take(torch.nonzero(file_B == number).flatten())
            self.num_rows_P[number] += len(own)
            for name, column in own.columns().items():
                with (Path(self._scratch.name) / f"{number}.{name}").open("ab") as file:
                    file.write(column.contiguous().numpy().tobytes())

    def _read(self, number: int) -> Rows:
        assert self._scratch is not None
        if not self.num_rows_P[number]:
            return self._template
        columns = {}
        for name, like in self._template.columns().items():
            path = Path(self._scratch.name) / f"{number}.{name}"
            values = np.fromfile(path, dtype=like.numpy().dtype)
            columns[name] = torch.from_numpy(values.reshape(int(self.num_rows_P[number]), *like.shape[1:]))
        return Rows(**columns)

    def _in_order(self, rows: Rows) -> Rows:
        key_B, order = rows.key_B.sort()
        repeated = int((key_B[1:] == key_B[:-1]).sum())
        if repeated:
            raise ValueError(f"{repeated} event ids occur more than once; an example is one row")
        rows = rows.take(order)
        rows.surface_B.copy_(self._place[rows.surface_B] if len(rows) else rows.surface_B)
        return rows


def labels_of(examples: Examples) -> Tensor:
    """Outcomes in the order of the heads (B, H)."""
    acted_B1 = examples.acted_B.unsqueeze(1)
    return acted_B1 if len(examples.actions) == 1 else torch.cat([acted_B1, examples.labels_BA], dim=1)


def permutation(num: int, *seeds: int) -> npt.NDArray[np.int64]:
    """The numbers below `num` in an order drawn from the seeds."""
    return np.random.Generator(np.random.PCG64(seeds)).permutation(num)


def row_keys(event_ids: pa.Array) -> npt.NDArray[np.int64]:
    """A 64-bit hash of each id, read eight bytes at a time: in one of 37 sets of a billion ids, two are alike.

    >>> one, other = row_keys(pa.array(["a", "b"]))
    >>> bool(one == other), bool(row_keys(pa.array(["b"]))[0] == other)
    (False, True)
    """
    ids = pc.cast(event_ids, pa.large_binary())
    if isinstance(ids, pa.ChunkedArray):
        ids = ids.combine_chunks()
    _, offsets_buffer, data_buffer = ids.buffers()
    offsets = np.frombuffer(offsets_buffer or b"\0" * 8, dtype=np.int64)[ids.offset : ids.offset + len(ids) + 1]
    lengths = np.diff(offsets)
    longest = int(lengths.max(initial=0))
    data = np.frombuffer(data_buffer or b"", dtype=np.uint8)
    data = np.r_[data, np.zeros(longest + 8, dtype=np.uint8)]
    keys = _mixed(lengths.astype(np.uint64))
    for at in range(0, longest, 8):
        # The eight bytes from here on, without what belongs to the next id.
        words = np.lib.stride_tricks.sliding_window_view(data, 8)[offsets[:-1] + np.minimum(at, lengths)]
        words = np.where(np.arange(at, at + 8) < lengths[:, None], words, 0).astype(np.uint8)
        keys = _mixed(keys ^ words.view(np.uint64).ravel())
    return keys.view(np.int64)


def _mixed(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014): every bit of the input moves half of the output's."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _joined(rows: list[Rows]) -> Rows:
    columns = [one.columns() for one in rows]
    return (
        rows[0] if len(rows) == 1 else Rows(**{name: torch.cat([one[name] for one in columns]) for name in columns[0]})
    )


def _numbers(column: Codes, numbers: dict[str, int]) -> Tensor:
    of_name = np.array([numbers[name] for name in column.names], dtype=np.int64)
    return torch.from_numpy(of_name[column.codes]) if len(column.codes) else torch.zeros(0, dtype=torch.int64)


def _share(num_rows: int, num_steps: int) -> npt.NDArray[np.int64]:
    """So many rows over so many steps, as equally as it goes.

    >>> _share(8, 3)
    array([3, 3, 2])
    """
    return num_rows // num_steps + (np.arange(num_steps) < num_rows % num_steps)
