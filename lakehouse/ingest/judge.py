"""The contract as Spark SQL: what a line of a landing file is worth, and why one does not fit.

from_json is not enough: it lets trailing text, repeated keys, absent keys, unknown keys and NaN pass. VARIANT's parser
refuses repeated keys, NaN and every departure from RFC 8259 but one: it stops reading after the first value. Hence each
line is parsed as the first of two elements of an array whose second is the line's own SHA-256, which no text can hold:
only a line that is exactly one value leaves `[value, hash]`.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from lakehouse.landing import Column, Stream

# A longer line is no row of ours: it is quarantined unread, with the first bytes of its payload.
MAX_ROW_BYTES = 2**20
PAYLOAD_PREFIX_BYTES = 2**16

# Clocks of different machines differ; a time further ahead of the ingest clock than this is a mistake.
CLOCK_SLACK_SECONDS = 3600

# What the event collector could make no row of. It lands `{"quarantined": reason, "why": …, "event": …}`.
COLLECTED: Mapping[str, str] = MappingProxyType(
    {
        "unfit_event": "what a client sent to the collector is no event",
        "unknown_request": "an event of a request that the feature log does not know, or not any more",
        "unknown_item": "an event of an item that was not in the answer to its request",
    }
)
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "row_too_long": f"longer than {MAX_ROW_BYTES:,} bytes",
        "blank_line": "nothing but white space",
        "byte_order_mark": "begins with a byte-order mark; write plain UTF-8",
        "not_utf8": "its bytes are not UTF-8",
        "duplicate_key": "a key stands twice in the row",
        "trailing_text": "something follows the row on its line",
        "broken_json": "not JSON (RFC 8259), or with NaN, Infinity or a key repeated inside an object",
        "not_an_object": "JSON, but not an object",
        **COLLECTED,
        "unknown_key": "a key that the contract does not name: what it holds would be lost",
        "missing_key": "a key of the contract is absent",
        "null_not_allowed": "null where a value must stand",
        "wrong_type": "another type than the contract's",
        "empty_string": "an id or a name of no characters",
        "unknown_value": "outside the closed list of values",
        "not_a_time": "not a time in ISO 8601 with a zone, such as 2026-01-31T12:00:00Z",
        "time_in_future": f"more than {CLOCK_SLACK_SECONDS // 60} minutes ahead of the ingest clock",
        "out_of_range": "outside the range of its column",
        "position_missing": "impressed, but without a position",
        "propensity_missing": "random traffic, but without a propensity",
    }
)

_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?(Z|[+-][0-9]{2}:?[0-9]{2})$"
_EARLIEST = "timestamp'1970-01-01T00:00:00Z'"


def line_expressions() -> tuple[dict[str, str], ...]:
    """Steps from `payload` (the line's bytes) to `keys` (its top-level values by key, null unless it is an object)."""
    return (
        {"payload_hash": "sha2(payload, 256)", "payload_length": "cast(octet_length(payload) as bigint)"},
        {
            "text": f"""case when payload_length <= {MAX_ROW_BYTES} and is_valid_utf8(cast(payload as string))
                then cast(payload as string) end"""
        },
        {"parsed": """try_parse_json(concat('[', text, ',"', payload_hash, '"]'))"""},
        {
            "is_whole": """coalesce(try_variant_get(parsed, '$[1]', 'string') = payload_hash
                and try_variant_get(parsed, '$[2]', 'variant') is null, false)"""
        },
        {"keys": "case when is_whole then try_variant_get(parsed, '$[0]', 'map<string, variant>') end"},
    )


def value_expressions(stream: Stream) -> tuple[dict[str, str], ...]:
    """Each column's type in the line as `type_<column>`, then its value in the contract's type under its own name."""
    types = {f"type_{column.name}": f"schema_of_variant(keys['{column.name}'])" for column in stream.columns}
    return types, {column.name: _value(column) for column in stream.columns}


def fault_expression(stream: Stream) -> str:
    """A struct (reason, field) of the first thing wrong with a line, null if nothing is; `ingested_at` is the clock."""
    branches = " ".join(
        f"when {condition} then named_struct('reason', '{reason}', 'field', {field})"
        for reason, field, condition in (*_line_faults(), *_key_faults(stream), *_value_faults(stream))
    )
    return f"case {branches} end"


def _line_faults() -> Iterator[tuple[str, str, str]]:
    line = "cast(null as string)"
    yield "row_too_long", line, f"payload_length > {MAX_ROW_BYTES}"
    yield "byte_order_mark", line, "startswith(payload, x'efbbbf')"
    yield "not_utf8", line, "text is null"
    yield "blank_line", line, r"text rlike '^[ \\t\\r\\n\\f\\x0b]*$'"
    yield (
        "duplicate_key",
        line,
        "not is_whole and size(json_object_keys(text)) > size(array_distinct(json_object_keys(text)))",
    )
    # The line alone can be parsed: what spoils it comes after the first value.
    yield "trailing_text", line, "not is_whole and try_parse_json(text) is not null"
    yield "broken_json", line, "not is_whole"
    yield "not_an_object", line, "keys is null"


def _key_faults(stream: Stream) -> Iterator[tuple[str, str, str]]:
    known = ", ".join(f"'{column.name}'" for column in stream.columns)
    required = ", ".join(f"'{column.name}'" for column in stream.columns if not column.optional)
    unknown = f"array_except(map_keys(keys), array({known}))"
    missing = f"array_except(array({required}), map_keys(keys))"
    for reason in COLLECTED:
        yield reason, "cast(null as string)", f"try_variant_get(keys['quarantined'], '$', 'string') = '{reason}'"
    yield "unknown_key", f"left({unknown}[0], 200)", f"size({unknown}) > 0"
    yield "missing_key", f"{missing}[0]", f"size({missing}) > 0"


def _value_faults(stream: Stream) -> Iterator[tuple[str, str, str]]:
    for column in stream.columns:
        field, json_type = f"'{column.name}'", f"type_{column.name}"
        if not column.nullable:
            yield "null_not_allowed", field, f"{json_type} = 'VOID'"
        yield "wrong_type", field, f"{json_type} <> 'VOID' and not ({_right_type(column)})"
        yield from ((reason, field, condition) for reason, condition in _range_faults(column))
    if stream.name == "exposures":
        yield "position_missing", "'position'", "impressed and position is null"
        yield "propensity_missing", "'propensity'", "traffic = 'random' and propensity is null"
        yield "out_of_range", "'logging_probability'", "traffic = 'random' and logging_probability <> 1"


def _right_type(column: Column) -> str:
    json_type = f"type_{column.name}"
    match column.kind:
        case "string" | "time":
            return f"{json_type} = 'STRING'"
        case "boolean":
            return f"{json_type} = 'BOOLEAN'"
        case "integer":
            return f"{json_type} = 'BIGINT'"
        case "number":
            return f"{json_type} in ('BIGINT', 'DOUBLE') or {json_type} like 'DECIMAL%'"
        case "object":
            return f"{json_type} like 'OBJECT<%'"


def _range_faults(column: Column) -> Iterator[tuple[str, str]]:
    name = column.name
    match column.kind:
        case "string" if column.values:
            yield "unknown_value", f"{name} not in ({', '.join(repr(value) for value in column.values)})"
        case "string":
            yield "empty_string", f"trim({name}) = ''"
        case "time":
            yield "not_a_time", f"type_{name} = 'STRING' and {name} is null"
            yield "time_in_future", f"{name} > ingested_at + interval {CLOCK_SLACK_SECONDS} seconds"
            yield "out_of_range", f"{name} < {_EARLIEST}"
        case "integer":
            yield "out_of_range", f"type_{name} = 'BIGINT' and {name} is null"
        case "number":
            yield "out_of_range", f"abs({name}) = double('infinity')"
        case "object":
            # A number beyond the doubles turns into the text "Infinity".
            yield "out_of_range", f"contains({name}, 'Infinity\"') and not contains(text, 'Infinity')"
        case "boolean":
            pass
    bounds = (("<", column.at_least), ("<=", column.above), (">", column.at_most), (">=", column.below))
    for sign, bound in bounds:
        if bound is not None:
            yield "out_of_range", f"{name} {sign} {bound:g}"


def _value(column: Column) -> str:
    value = f"keys['{column.name}']"
    match column.kind:
        case "object":
            return f"case when type_{column.name} <> 'VOID' then to_json({value}) end"
        case "time":
            text = f"try_variant_get({value}, '$', 'string')"
            return f"case when {text} rlike '{_TIME}' then try_cast({text} as timestamp) end"
        case "boolean":
            return f"try_variant_get({value}, '$', 'boolean')"
        case "string" | "integer" | "number":
            return f"try_variant_get({value}, '$', '{column.spark_type.lower()}')"
