"""Sampling while reading: a recipe applied to a pinned examples table, row for row as marts.training_examples has it.

Inside a file of the examples, rows with an action come first and the others follow by `draw`, in small row groups. The
recipe becomes a filter that each row group's statistics can answer, so a read costs about what it keeps.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import reduce
from itertools import chain
from math import prod
from operator import and_, or_

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from lakehouse.recipes import OTHERWISE, RANDOM_TRAFFIC, Recipe, Rule
from lakehouse.row_groups import as_codes, of_few_words, prefix_of, read_part, side_by_side
from lakehouse.versions import Pin, open_dataset, read

# What a sampled table has beside the columns of its examples, in this order.
ADDED = ("recipe", "stratum", "keep_probability", "negative_keep_probability")
# Random traffic has a keep probability for every day. The filter that statistics answer knows it to these steps only;
# the rows that it lets through too many are dropped one by one.
STEPS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
# Combinations of words that are worth judging one by one, rather than the rows.
MAX_COMBINATIONS = 2000
# Kept rows in more pieces than this are copied.
MAX_SLICES = 16


class RatesError(RuntimeError):
    """The pinned sampling rates are not those of this recipe over these examples."""


@dataclass(frozen=True, kw_only=True)
class RandomKeep:
    """What each day keeps of random traffic, over the days that the rates know; days without any are not in it."""

    by_day: Mapping[date, float]
    first_day: date
    last_day: date

    def by_step(self) -> list[tuple[float, list[date]]]:
        """Days by the lowest of STEPS that is not below what they keep."""
        days: dict[float, list[date]] = {}
        for day, keep in self.by_day.items():
            days.setdefault(next(step for step in STEPS if keep <= step), []).append(day)
        return sorted(days.items())

    def of(self, days: pa.ChunkedArray) -> npt.NDArray[np.float64]:
        """What the day of each row keeps. Raises RatesError, naming them, for days that are not known."""
        places = pc.index_in(days, value_set=pa.array(list(self.by_day), pa.date32()))
        if places.null_count:
            missing = sorted(set(days.filter(places.is_null()).to_pylist()))
            raise RatesError(
                f"the sampling rates lack random traffic of {', '.join(map(str, missing))}, which the examples have: "
                "the two were not built together; pin both after one `dbt build`"
            )
        return np.array(list(self.by_day.values()))[places.to_numpy()]


def read_sample(
    examples: Pin,
    *,
    recipe: Recipe,
    rates: Pin,
    columns: Sequence[str] | None = None,
    where: ds.Expression | None = None,
    rank: int = 0,
    num_ranks: int = 1,
) -> pa.Table:
    """The sample as one table, in columns and types as marts.training_examples has it; see `open_sample`."""
    dataset, random_keep = _opened(
        examples, recipe=recipe, rates=rates, columns=columns, rank=rank, num_ranks=num_ranks
    )
    rows = sample_of(dataset, recipe=recipe, random_keep=random_keep, columns=columns, where=where, dictionaries=False)
    return rows.read_all()


def open_sample(
    examples: Pin,
    *,
    recipe: Recipe,
    rates: Pin,
    columns: Sequence[str] | None = None,
    where: ds.Expression | None = None,
    rank: int = 0,
    num_ranks: int = 1,
) -> pa.RecordBatchReader:
    """The rows of the pinned `examples` that `recipe` keeps, in batches: acted = 1 or draw < keep of the stratum.

    `columns` are of the examples or of ADDED; by default all, as marts.training_examples has them. `rates` is a pin of
    marts.sampling_rates, which says what each day keeps of random traffic. Of `num_ranks` processes, each reads files
    of its own; together they read all. With more ranks than files, the last ranks get no row.

    Strings of few distinct values, and lists of them, stay the codes and words that the files hold: Arrow dictionaries,
    in which a trainer hashes each word once. `column.cast(pa.string())` writes them out.

    Raises ValueError if a column is unknown or rank does not lie in [0, num_ranks); RatesError if the rates are not of
    this recipe, or lack a day; PinError as `lakehouse.versions.read` does.
    """
    dataset, random_keep = _opened(
        examples, recipe=recipe, rates=rates, columns=columns, rank=rank, num_ranks=num_ranks
    )
    return sample_of(dataset, recipe=recipe, random_keep=random_keep, columns=columns, where=where)


def _opened(
    examples: Pin, *, recipe: Recipe, rates: Pin, columns: Sequence[str] | None, rank: int, num_ranks: int
) -> tuple[ds.Dataset, RandomKeep]:
    """The files of a rank and what each day keeps of random traffic; both read side by side."""
    if not 0 <= rank < num_ranks:
        raise ValueError(f"rank is {rank} of {num_ranks} ranks; it must lie in [0, num_ranks)")
    with ThreadPoolExecutor(1) as beside:
        known = beside.submit(read_random_keep, rates, recipe=recipe)
        dataset = files_of_rank(open_dataset(examples), rank=rank, num_ranks=num_ranks)
        random_keep = known.result()
    unknown = sorted(set(columns or ()) - {*dataset.schema.names, *ADDED})
    if unknown:
        allowed = [*dataset.schema.names, *ADDED]
        raise ValueError(f"columns names {unknown}; a sample of {examples.relation} has {allowed}")
    return dataset, random_keep


def sample_of(
    dataset: ds.Dataset,
    *,
    recipe: Recipe,
    random_keep: RandomKeep,
    columns: Sequence[str] | None = None,
    where: ds.Expression | None = None,
    dictionaries: bool = True,
) -> pa.RecordBatchReader:
    """The rows of any dataset with the columns of the examples that `recipe` keeps; `open_sample` without the pins.

    Without `dictionaries` every string is written out.
    """
    names = dataset.schema.names
    wanted = [*names, *ADDED] if columns is None else list(columns)
    needed = {"acted", "draw", "day", *recipe.columns, *wanted}
    if "keep_probability" in wanted or "negative_keep_probability" in wanted:
        needed.add("logging_probability")
    kept = sample_filter(recipe, random_keep=random_keep)
    readers = ThreadPoolExecutor(pa.cpu_count())
    parts = prefix_of(dataset, kept if where is None else kept & where, readers=readers)
    first = next(parts, None)
    parts = chain([] if first is None else [first], parts)
    # All batches are of one type: that of the first row groups.
    coded = of_few_words(first, schema=dataset.schema) if dictionaries and first is not None else {}
    decoded = pa.schema([_field(dataset.schema, name, coded=name in coded) for name in names if name in needed])
    schema = pa.schema([_field(dataset.schema, name, coded=name in coded) for name in wanted])

    def sampled(part: ds.ParquetFileFragment) -> pa.Table:
        rows = read_part(part, schema=decoded)
        judged = rows.select(list(recipe.columns))
        codes = np.concatenate([stratum_codes(batch, recipe=recipe) for batch in judged.to_batches()])
        if where is not None:
            asked_for = part.to_table(schema=dataset.schema, columns={"asked for": where}, use_threads=False)[0]
            codes = np.where(pc.fill_null(asked_for, False), codes, -1)
        return _sampled(rows, codes, recipe=recipe, random_keep=random_keep, schema=schema)

    def batches() -> Iterator[pa.RecordBatch]:
        with readers:
            for table in side_by_side(readers, sampled, parts):
                yield from table.to_batches()

    return pa.RecordBatchReader.from_batches(schema, batches())


def sample_filter(recipe: Recipe, *, random_keep: RandomKeep) -> ds.Expression:
    """What `recipe` keeps, as a filter whose `draw < keep` prunes row groups; of random traffic a little too much.

    >>> rules = (Rule(name="busy", column="surface", values=("home",), keep=0.1),)
    >>> lean = Recipe(name="lean", materialised=False, rules=rules, otherwise=0.5, random_share=0)
    >>> rows = {"surface": ["home", "home", "mail", None], "acted": [0, 1, 0, 0], "draw": [0.2, 0.2, 0.2, 0.6]}
    >>> rows = pa.table({**rows, "traffic": ["policy"] * 4, "user_slice": ["train"] * 4})
    >>> none = RandomKeep(by_day={}, first_day=date(2026, 1, 1), last_day=date(2026, 1, 1))
    >>> ds.dataset(rows).to_table(filter=sample_filter(lean, random_keep=none), columns=["surface"]).to_pydict()
    {'surface': ['home', 'mail']}
    """
    acted, draw = pc.field("acted") == 1, pc.field("draw")
    offered, below = [], []
    for stratum, condition in strata(recipe):
        offered.append(condition)
        if stratum != RANDOM_TRAFFIC:
            below.append((draw < recipe.keeps[stratum]) & condition)
            continue
        day = pc.field("day")
        for keep, days in random_keep.by_step():
            below.append((draw < keep) & condition & day.isin(pa.array(days, pa.date32())))
        # Days that the rates do not know are let through, to be found out, rather than dropped in silence.
        below.append(condition & ((day < random_keep.first_day) | (day > random_keep.last_day)))
    return (acted & reduce(or_, offered)) | reduce(or_, below)


def strata(recipe: Recipe) -> list[tuple[str, ds.Expression]]:
    """Each stratum with the condition that a row is in it; the conditions exclude each other.

    The first rule that matches decides. A row of random traffic may be of the train slice only; a rule other than on
    `traffic` does not touch it. A row that may not train is in no stratum.
    """
    is_random = pc.field("traffic") == "random"
    left = ~is_random | (pc.field("user_slice") == "train")
    found = []
    for rule in recipe.rules:
        met = _condition(rule) if rule.column == "traffic" else _condition(rule) & ~is_random
        found.append((rule.name, left & met))
        left = left & ~met
    found.append((OTHERWISE, left & ~is_random))
    if recipe.random_share > 0:
        found.append((RANDOM_TRAFFIC, left & is_random))
    return found


def stratum_code(recipe: Recipe) -> ds.Expression:
    """The place in `recipe.strata` of a row's stratum, as an expression over the examples; -1 for a row without."""
    code = pc.scalar(pa.scalar(-1, pa.int8()))
    for stratum, condition in reversed(strata(recipe)):
        code = pc.if_else(condition, pa.scalar(recipe.strata.index(stratum), pa.int8()), code)
    return code


def stratum_codes(rows: pa.RecordBatch, *, recipe: Recipe) -> npt.NDArray[np.int8]:
    """The code of each row's stratum, from the columns that the recipe looks at.

    Where all of these are dictionaries, each combination of their words is judged once.
    """
    coded = all(pa.types.is_dictionary(column.type) for column in rows.columns)
    sizes = [len(column.dictionary) + 1 for column in rows.columns] if coded else []
    if not coded or prod(sizes) > MAX_COMBINATIONS:
        found = ds.dataset(rows).to_table(columns={"code": stratum_code(recipe)}, use_threads=False)
        return pc.fill_null(found["code"], -1).to_numpy()
    # Null is one more word, the last.
    words = [pa.concat_arrays([column.dictionary, pa.nulls(1, column.type.value_type)]) for column in rows.columns]
    places = np.unravel_index(np.arange(prod(sizes)), sizes)
    combinations = [word.take(pa.array(place)) for word, place in zip(words, places, strict=True)]
    codes = stratum_codes(pa.record_batch(combinations, names=rows.schema.names), recipe=recipe)
    indices = [pc.fill_null(column.indices, size - 1) for column, size in zip(rows.columns, sizes, strict=True)]
    return codes[np.ravel_multi_index(tuple(index.to_numpy() for index in indices), sizes)]


def read_random_keep(rates: Pin, *, recipe: Recipe) -> RandomKeep:
    """What each day keeps of random traffic, from marts.sampling_rates.

    Raises RatesError if the table has no row of the recipe, or was made by another definition of it.
    """
    columns = ["day", "stratum", "sampling_keep", "definition"]
    rows = read(rates, columns=columns, where=pc.field("recipe") == recipe.name).to_pylist()
    others = sorted({row["definition"] for row in rows} - {recipe.definition})
    if not rows or others:
        raise RatesError(
            f"{rates.relation} at version {rates.version} has {' and '.join(others) or 'no row'} of the recipe "
            f"{recipe.name!r}, which states {recipe.definition}: it was changed since; "
            "`dbt build --selector sampling` brings the rates up to it"
        )
    return RandomKeep(
        by_day={row["day"]: row["sampling_keep"] for row in rows if row["stratum"] == RANDOM_TRAFFIC},
        first_day=min(row["day"] for row in rows),
        last_day=max(row["day"] for row in rows),
    )


def files_of_rank(dataset: ds.Dataset, *, rank: int, num_ranks: int) -> ds.Dataset:
    """Every `num_ranks`-th file of the dataset by name, from `rank` on; the whole for a single rank."""
    if num_ranks == 1:
        return dataset
    files = sorted(dataset.get_fragments(), key=lambda fragment: fragment.path)[rank::num_ranks]
    return ds.FileSystemDataset(files, dataset.schema, dataset.format, dataset.filesystem)


def _condition(rule: Rule) -> ds.Expression:
    """Whether a row meets the rule; null values do not."""
    column = pc.field(rule.column)
    if rule.values is not None:
        return column.isin(pa.array(rule.values, pa.string()))
    bounds = [] if rule.at_least is None else [column >= float(rule.at_least)]
    bounds += [] if rule.below is None else [column < float(rule.below)]
    return column.is_valid() & pc.coalesce(reduce(and_, bounds), pa.scalar(False))


def _sampled(
    rows: pa.Table, codes: npt.NDArray[np.int8], *, recipe: Recipe, random_keep: RandomKeep, schema: pa.Schema
) -> pa.Table:
    """The rows that are kept, with the columns of `schema`; `codes` are their strata as `stratum_code` has them."""
    offered = codes >= 0
    keep = np.array([recipe.keeps.get(stratum, np.nan) for stratum in recipe.strata])[codes]
    is_random = codes == recipe.strata.index(RANDOM_TRAFFIC)
    if is_random.any():
        keep[is_random] = random_keep.of(rows["day"].filter(pa.array(is_random)))
    acted, draw = rows["acted"].to_numpy() == 1, rows["draw"].to_numpy()
    kept = offered & (acted | (draw < keep))
    if not kept.all():
        rows = _only(rows, kept)
        codes, keep, acted = codes[kept], keep[kept], acted[kept]
    columns = {name: rows[name] for name in schema.names if name not in ADDED}
    if "keep_probability" in schema.names or "negative_keep_probability" in schema.names:
        negative = rows["logging_probability"].to_numpy() * keep
        columns["negative_keep_probability"] = pa.array(negative)
        columns["keep_probability"] = pa.array(np.where(acted, 1.0, negative))
    if "recipe" in schema.names:
        columns["recipe"] = pa.repeat(recipe.name, len(codes))
    if "stratum" in schema.names:
        columns["stratum"] = pa.array(recipe.strata).take(pa.array(codes))
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _only(rows: pa.Table, kept: npt.NDArray[np.bool_]) -> pa.Table:
    """The rows that are kept. By their order most stand together, and slices copy nothing."""
    edges = np.flatnonzero(np.diff(kept, prepend=False, append=False))
    if len(edges) > MAX_SLICES * 2:
        return rows.filter(pa.array(kept))
    pieces = [rows.slice(start, end - start) for start, end in edges.reshape(-1, 2)]
    return pa.concat_tables(pieces) if pieces else rows.slice(0, 0)


def _field(schema: pa.Schema, name: str, *, coded: bool) -> pa.Field:
    """A column of the sample, without the comments that Spark leaves in a field's metadata."""
    if name in ("recipe", "stratum"):
        return pa.field(name, pa.string())
    plain = pa.float64() if name in ADDED else schema.field(name).type
    return pa.field(name, as_codes(plain) if coded else plain)
