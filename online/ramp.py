"""What is known of a ramp now, read from the landing files: how each ranking went, and what people did with it.

Nothing waits for the lake: a canary that does harm is taken back within a look. Rows count by the arm and share that
served them, as the request log has them, so that a wrong assignment shows as uneven arms and is not assumed away.

Shapes: R rankings, U users.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from decisions.rollout import ArmCounts, Measured, RampFigures, Spread, StepCounts
from lakehouse.home import Home
from online.request_log import STREAM, RequestRow
from online.segments import LANDED, OPEN

# Slow is what is slower than this share of production's rankings was.
USUAL = 0.95
# From how many rankings that is read, at least, and at most.
FEWEST_USUAL, MOST_USUAL = 1_000, 50_000
# Rankings of before the ramp that can say what is usual.
BEFORE = timedelta(days=1)
Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """A ramp's figures, and when the first request of each share was served, in the clock of the requests.

    `slow_ms`: above it, a ranking counts as slow; None while that is unknown.
    """

    figures: RampFigures
    slow_ms: float | None
    since: Mapping[float, datetime]


class _Request(RequestRow, frozen=True, kw_only=True):
    """A row of the request log, its time decoded."""

    served_at: datetime  # type: ignore[assignment]


class _Engagement(Struct, frozen=True):
    """What counts of an engagement; of a line that is none, nothing."""

    request_id: str | None = None
    engaged_at: datetime | None = None


def ramp(home: Home, *, began: datetime, pointer_version: int, engaged_within: timedelta) -> Ramp | None:
    """The figures of the ramp that began with `pointer_version`, at `began`; None while nothing was ranked in it.

    An engagement counts for its request if it comes within `engaged_within`; a request counts once that has passed, by
    the time of the newest engagement: where none come any more, the figures of engagement end.
    """
    # Who asks twice under the same name is answered twice alike, and counts once.
    requests = {row.request_id: row for row in _rows(home, STREAM, _Request, since=began - BEFORE)}
    known = sorted(requests.values(), key=lambda row: (row.served_at, row.request_id))
    before = [row for row in known if row.pointer_version < pointer_version]
    of_ramp = [row for row in known if row.pointer_version >= pointer_version and _is_compared(row)]
    if not of_ramp:
        return None
    slow_ms, last = usual_ms(before, of_ramp), of_ramp[-1].served_at
    failed_R = np.array([row.failed for row in of_ramp])
    ranked_ms_R = np.array([row.ranked_ms for row in of_ramp])
    engagements = _rows(home, "engagements", _Engagement, since=began)
    return Ramp(
        slow_ms=slow_ms,
        since={float(row.canary_share or 0): row.served_at for row in reversed(of_ramp)},
        figures=RampFigures(
            guardrails={
                "errors": measured(of_ramp, failed_R, as_of=last),
                "slow": None if slow_ms is None else measured(of_ramp, ranked_ms_R > slow_ms, as_of=last),
                "engaged": _engaged(of_ramp, engagements, within=engaged_within),
            }
        ),
    )


def usual_ms(before: Sequence[RequestRow], of_ramp: Sequence[RequestRow]) -> float | None:
    """The USUAL quantile of production's `ranked_ms` before the ramp, or where too few are known, at its beginning."""
    for ranked, chosen in ((before, slice(-MOST_USUAL, None)), (of_ramp, slice(FEWEST_USUAL))):
        ms = [row.ranked_ms for row in ranked if row.arm == "production"][chosen]
        if len(ms) >= FEWEST_USUAL:
            return float(np.quantile(ms, USUAL))
    return None


def measured(requests: Sequence[RequestRow], is_event_R: NDArray[np.bool_], *, as_of: datetime) -> Measured:
    """Counts by step and arm, and how users spread them."""
    is_canary_R = np.array([row.arm == "canary" for row in requests])
    share_R = np.array([row.canary_share for row in requests], dtype=np.float64)
    users, user_R = np.unique([row.user_id for row in requests], return_inverse=True)
    event_R = is_event_R.astype(np.int64)

    def counts(chosen_R: NDArray[np.bool_]) -> ArmCounts:
        return ArmCounts(
            users=len(np.unique(user_R[chosen_R])),
            requests=int(chosen_R.sum()),
            events=int(event_R[chosen_R].sum()),
        )

    def spread(chosen_R: NDArray[np.bool_]) -> Spread:
        requests_U = np.bincount(user_R[chosen_R], minlength=len(users))
        events_U = np.bincount(user_R[chosen_R], weights=event_R[chosen_R], minlength=len(users)).astype(np.int64)
        return Spread(
            requests_squared=int((requests_U**2).sum()),
            requests_events=int((requests_U * events_U).sum()),
            events_squared=int((events_U**2).sum()),
        )

    return Measured(
        as_of=as_of,
        steps=tuple(
            StepCounts(
                share=float(share),
                canary=counts(is_canary_R & (share_R == share)),
                control=counts(~is_canary_R & (share_R == share)),
            )
            for share in np.unique(share_R)
        ),
        canary_spread=spread(is_canary_R),
        control_spread=spread(~is_canary_R),
    )


def _is_compared(row: RequestRow) -> bool:
    return row.arm in ("canary", "production") and row.canary_share is not None


def _engaged(of_ramp: Sequence[_Request], engagements: Iterator[_Engagement], *, within: timedelta) -> Measured | None:
    """Requests with an engagement in time, of those whose time is over; None where nobody engages at all."""
    first: dict[str, datetime] = {}
    newest = None
    for one in engagements:
        if one.request_id is None or one.engaged_at is None:
            continue
        first[one.request_id] = min(first.get(one.request_id, one.engaged_at), one.engaged_at)
        newest = max(newest or one.engaged_at, one.engaged_at)
    if newest is None:
        return None
    until = min(newest, of_ramp[-1].served_at) - within
    whole = [row for row in of_ramp if row.served_at <= until]
    if not whole:
        return None
    never = datetime.max.replace(tzinfo=UTC)
    in_time_R = np.array([first.get(row.request_id, never) - row.served_at <= within for row in whole])
    return measured(whole, in_time_R, as_of=until)


def _rows(home: Home, stream: str, form: type[Row], *, since: datetime) -> Iterator[Row]:
    """The lines of all files written to since then, landed or still growing.

    A file that lands meanwhile is read under one of its names or under both: a row may come twice.
    """
    decoder, folder = msgspec.json.Decoder(form), home.landing / stream
    for pattern in (f".*{OPEN}", f"*{LANDED}"):
        for path in sorted(folder.glob(pattern)):
            with suppress(FileNotFoundError):
                if datetime.fromtimestamp(path.stat().st_mtime, UTC) >= since:
                    content = path.read_bytes()
                    # The last line may be on its way yet.
                    yield from decoder.decode_lines(content[: content.rfind(b"\n") + 1])
