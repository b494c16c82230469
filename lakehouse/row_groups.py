"""Row groups of a pinned table, read as its files hold them: few at once, words as their dictionaries, side by side."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

Given = TypeVar("Given")
Found = TypeVar("Found")

# What one thread reads at once: a few row groups, which cost less together, and few enough to spread over the cores.
ROWS_AT_ONCE = 80_000
# A dictionary of some hundred words.
DICTIONARY_BYTES = 4096


def prefix_of(
    dataset: ds.Dataset, kept: ds.Expression, *, readers: ThreadPoolExecutor
) -> Iterator[ds.ParquetFileFragment]:
    """The row groups whose statistics do not exclude `kept`, a few at once; most lie in the prefix and are kept whole.

    To drop rows is left to whoever reads them: a scan with a filter copies every row, also where it drops none.
    """

    def parts_of(fragment: ds.ParquetFileFragment) -> list[ds.ParquetFileFragment]:
        file = fragment.subset(kept, schema=dataset.schema)
        num_rows = sum(group.num_rows for group in file.row_groups)
        # Parts of about one size, so that no reader is left with a large one at the end.
        groups = np.array_split([group.id for group in file.row_groups], -(-num_rows // ROWS_AT_ONCE) or 1)
        return [file.subset(row_group_ids=ids.tolist()) for ids in groups if len(ids)]

    for parts in side_by_side(readers, parts_of, dataset.get_fragments(filter=kept)):
        yield from parts


def side_by_side(
    readers: ThreadPoolExecutor, function: Callable[[Given], Found], given: Iterable[Given]
) -> Iterator[Found]:
    """What `function` makes of each, in their order, and no further ahead than keeps every reader busy."""
    ahead: deque[Future[Found]] = deque()
    for one in given:
        ahead.append(readers.submit(function, one))
        if len(ahead) > 2 * pa.cpu_count():
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()


def read_part(part: ds.ParquetFileFragment, *, schema: pa.Schema) -> pa.Table:
    """The columns of `schema` of some row groups; a column that was added after the file was written is null.

    A scan of the dataset gives the same and is a third slower: it takes row groups one by one, over several hands.
    """
    groups = [group.id for group in part.row_groups]
    few_words = of_few_words(part, schema=schema)
    # Arrow reads lists of dictionaries out of one row group only.
    lists = [name for name in few_words if pa.types.is_list(schema.field(name).type)]
    words = [name for name in few_words if name not in lists]
    others = [name for name in schema.names if name in part.physical_schema.names and name not in few_words]
    with part.open() as file:
        coded = pq.ParquetFile(file, metadata=part.metadata, read_dictionary=list(few_words.values()))
        # Strings with long offsets take two thirds of the time to decode, and next to none to cast.
        plain = pq.ParquetFile(file, metadata=part.metadata, binary_type=pa.large_binary())
        tables = [
            plain.read_row_groups(groups, columns=others, use_threads=False),
            coded.read_row_groups(groups, columns=words, use_threads=False),
            pa.concat_tables([coded.read_row_group(group, columns=lists, use_threads=False) for group in groups]),
        ]
    found = {name: table[name] for table in tables for name in table.column_names}
    # What a table is partitioned by stands in the folders' names.
    partition = ds.get_partition_keys(part.partition_expression)
    num_rows = sum(group.num_rows for group in part.row_groups)
    columns = [
        found[name] if name in found else pa.repeat(pa.scalar(partition.get(name), _written_out(type)), num_rows)
        for name, type in zip(schema.names, schema.types, strict=True)
    ]
    return pa.table([column.cast(type) for column, type in zip(columns, schema.types, strict=True)], schema=schema)


def of_few_words(part: ds.ParquetFileFragment, *, schema: pa.Schema) -> dict[str, str]:
    """Columns of strings, and of lists of them, with a short dictionary, each with its path in the file.

    To decode the codes and then cast them takes half as long.
    """
    words = {field.name for field in schema if pa.types.is_string(_element(_written_out(field.type)))}
    group = part.metadata.row_group(part.row_groups[0].id)
    chunks = (group.column(place) for place in range(group.num_columns))
    return {
        name: chunk.path_in_schema
        for chunk in chunks
        if (name := chunk.path_in_schema.partition(".")[0]) in words
        and chunk.has_dictionary_page
        and chunk.data_page_offset - chunk.dictionary_page_offset < DICTIONARY_BYTES
    }


def _element(type: pa.DataType) -> pa.DataType:
    """The type of what a list holds; any other type itself."""
    return type.value_type if pa.types.is_list(type) else type


def _with_element(type: pa.DataType, element: pa.DataType) -> pa.DataType:
    return pa.list_(type.value_field.with_type(element)) if pa.types.is_list(type) else element


def as_codes(type: pa.DataType) -> pa.DataType:
    """The type of a column of strings or lists of them as codes into a dictionary."""
    return _with_element(type, pa.dictionary(pa.int32(), pa.string()))


def _written_out(type: pa.DataType) -> pa.DataType:
    """The type of a column of strings or lists of them without a dictionary; any other type itself."""
    element = _element(type)
    return _with_element(type, element.value_type) if pa.types.is_dictionary(element) else type
