"""Events as clients send them: decoded and checked by msgspec, one by one where not all of them are right."""

import re
from datetime import datetime
from typing import Annotated, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta, Struct

from lakehouse.dataset import ACTIONS

MOST_EVENT_BYTES = 32 * 1024
MOST_BATCH_BYTES = 500 * 1024

Id = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\S")]
Moment = Annotated[datetime, Meta(tz=True)]


class Impression(Struct, frozen=True, tag="impression", forbid_unknown_fields=True, omit_defaults=True):
    """An item was seen. `position`: where, if not in the place that the answer gave it."""

    event_id: Id
    request_id: Id
    item_id: Id
    seen_at: Moment
    position: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None


class Engagement(Struct, frozen=True, tag="engagement", forbid_unknown_fields=True, omit_defaults=True):
    """Somebody did something with an item. `value`: how much of it, in seconds, stars …"""

    event_id: Id
    request_id: Id
    item_id: Id
    action: Literal["click", "long_click", "save", "hide"]
    engaged_at: Moment
    value: float | None = None


assert set(Engagement.__annotations__["action"].__args__) == set(ACTIONS)

Event: TypeAlias = Impression | Engagement


# What a message quotes of an event: a value, or a key that no event has.
_QUOTED = re.compile(r"""'.*'|".*"|(?<=unknown field )`.*`""", re.DOTALL)


class Unfit(NamedTuple):
    """An event that is none, as it came, and what is wrong with it; None for its text if that is not to be kept."""

    raw: bytes | None
    why: str

    def untold(self) -> "Unfit":
        """The same without a word of what came."""
        return Unfit(None, _QUOTED.sub("…", self.why))


class Batch(NamedTuple):
    """What a body holds: events, those that are none, and how many were too large to be looked at."""

    events: list[Event]
    unfit: list[Unfit]
    num_refused: int


class BodyError(ValueError):
    """The body is neither a JSON array nor lines of JSON: no event can be told from another."""


_EVENTS = msgspec.json.Decoder(list[Event])
_EVENT = msgspec.json.Decoder(Event)
_RAW = msgspec.json.Decoder(list[msgspec.Raw])


def read(body: bytes) -> Batch:
    """The events of a body, a JSON array or one JSON object a line. Raises BodyError where it is neither."""
    text = body.strip()
    if not text.startswith(b"["):
        return _one_by_one([line for line in text.splitlines() if line.strip()])
    if len(text) <= MOST_EVENT_BYTES:
        try:
            return Batch(_EVENTS.decode(text), [], 0)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass
    try:
        raw = [bytes(one) for one in _RAW.decode(text)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BodyError(f"the body is no JSON array: {error}") from error
    return _one_by_one(raw)


def _one_by_one(parts: list[bytes]) -> Batch:
    events: list[Event] = []
    unfit: list[Unfit] = []
    num_refused = 0
    for raw in parts:
        if len(raw) > MOST_EVENT_BYTES:
            num_refused += 1
            continue
        try:
            events.append(_EVENT.decode(raw))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            unfit.append(Unfit(raw, str(error)))
    return Batch(events, unfit, num_refused)
