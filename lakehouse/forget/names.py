"""What names the people who are to be forgotten, and how a landed line tells of them."""

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson

from lakehouse.landing import Stream


@dataclass(frozen=True)
class Names:
    """Ids of users, and of their requests and events, by which rows without a user are known to be theirs."""

    users: frozenset[str]
    requests: frozenset[str] = field(default=frozenset())
    events: frozenset[str] = field(default=frozenset())

    def __post_init__(self) -> None:
        if not self.users or not all(user.strip() for user in self.users):
            raise ValueError("users holds an empty id, or none at all; name those who are to be forgotten")

    def __or__(self, other: "Names") -> "Names":
        return Names(self.users | other.users, self.requests | other.requests, self.events | other.events)

    def are_in_line(self, line: bytes, stream: Stream) -> bool:
        """Whether a landed line is theirs: a row of the stream by its user.

        Of a line that is no row of it nobody knows which field names whom: it is theirs if one of their ids is any of
        its strings or, where it cannot be parsed, stands in it as a word.
        """
        if not self._may_be_in(line):
            return False
        row = _parsed(line)
        if isinstance(row, dict) and isinstance(row.get("user_id"), str) and set(row) <= _columns(stream):
            return row["user_id"] in self.users
        if row is None:
            return self.are_in_text(line.decode("utf-8", errors="replace"))
        return any(
            string in self.users or string in self.requests or string in self.events or self.are_in_text(string)
            for string in _strings(row)
        )

    def are_in_text(self, text: str) -> bool:
        """Whether a user stands in a text as a word of its own."""
        return self._words.search(text) is not None

    def _may_be_in(self, line: bytes) -> bool:
        """Cheap, and never wrong about a line that it passes over; what no row was made of is always looked at."""
        return b"\\u" in line or b'"quarantined"' in line or any(user in line for user in self._user_bytes)

    @cached_property
    def _user_bytes(self) -> tuple[bytes, ...]:
        # Without what JSON may write in two ways, beside \u.
        return tuple(max(re.split(rb'["\\/]', user.encode()), key=len) for user in sorted(self.users))

    @cached_property
    def _words(self) -> re.Pattern[str]:
        ids = "|".join(re.escape(user) for user in sorted(self.users, key=len, reverse=True))
        return re.compile(rf"(?<![\w-])(?:{ids})(?![\w-])")


def _columns(stream: Stream) -> Set[str]:
    return {column.name for column in stream.columns}


def _parsed(line: bytes) -> Any:
    """The JSON of a line; None for one that is none."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def _strings(value: Any) -> Iterator[str]:
    """Every string in a JSON value, keys and what stands in a string as JSON included."""
    if isinstance(value, str):
        yield value
        inner = _parsed(value.encode(errors="replace")) if value[:1] in ("{", "[") else None
        if inner is not None:
            yield from _strings(inner)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _strings(key)
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
