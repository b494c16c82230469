"""What is kept of a batch, as landing rows.

Kept is everything that somebody acted upon, everything on the random slice, and of the other impressions those whose
draw is below the share. Only for these are features fetched. An action carries all that makes an example, so that its
impression need not have been kept. Rows follow from events and feature log alone: the same event twice is the same
bytes twice, which the lake counts as one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from decisions.draw import draw
from online.collector.events import Batch, Engagement, Event, Impression, Unfit
from online.collector.window import Window
from online.feature_log import FeatureLog, LoggedRequest
from online.random_slice import is_random

LOGGING_SALT = "logging-1"
_ENCODER = msgspec.json.Encoder()


@dataclass(kw_only=True)
class Kept:
    """The lines of a batch by stream, and what became of its events; accepted ones may have been dropped by their
    draw."""

    lines: dict[str, list[bytes]] = field(default_factory=lambda: {"exposures": [], "engagements": []})
    ids: list[str] = field(default_factory=list)
    accepted: int = 0
    duplicate: int = 0
    quarantined: int = 0
    refused: int = 0
    dropped: int = 0


class Keeper:
    """Decides by the settings; `window` is what came lately."""

    def __init__(self, log: FeatureLog, *, impressions_kept: float, random_share: float, window: Window) -> None:
        self._log, self._window = log, window
        self._impressions_kept, self._random_share = impressions_kept, random_share

    def keep(self, batch: Batch) -> Kept:
        """The rows of a batch. Its events count as known from now on; `forget` it if the rows do not reach the disk."""
        kept = Kept(refused=batch.num_refused)
        chosen: list[Event] = []
        for event in batch.events:
            if not self._is_new(event.event_id, kept):
                kept.duplicate += 1
                continue
            if isinstance(event, Engagement) or self._is_kept(event):
                chosen.append(event)
            else:
                kept.accepted += 1
                kept.dropped += 1
        requests = self._log.read({event.request_id for event in chosen})
        for event in chosen:
            self._keep_event(event, requests, kept)
        for unfit in batch.unfit:
            kept.lines["exposures"].append(quarantine_line("unfit_event", unfit))
            kept.quarantined += 1
        return kept

    def forget(self, kept: Kept) -> None:
        """Its events are new again: nobody was told that they were kept."""
        self._window.discard(kept.ids)

    def _is_new(self, identity: str, kept: Kept) -> bool:
        if is_new := self._window.add(identity):
            kept.ids.append(identity)
        return is_new

    def _is_kept(self, event: Impression) -> bool:
        if logging_draw(event.request_id, event.item_id) < self._impressions_kept:
            return True
        return is_random(event.request_id, self._random_share)

    def _keep_event(self, event: Event, requests: Mapping[str, LoggedRequest], kept: Kept) -> None:
        stream = "engagements" if isinstance(event, Engagement) else "exposures"
        request = requests.get(event.request_id)
        place = request.place_of(event.item_id) if request else None
        if request is None or place is None:
            reason = "unknown_request" if request is None else "unknown_item"
            kept.lines[stream].append(quarantine_line(reason, Unfit(msgspec.json.encode(event), reason)))
            kept.quarantined += 1
            return
        # Off-policy estimates need every candidate, also those that nobody saw. No event has such an id.
        if request.traffic == "random" and self._is_new(f" {request.request_id}", kept):
            rows = (self._exposure(request, other, impressed=False) for other in range(len(request.item_ids)))
            kept.lines["exposures"].extend(map(_line, rows))
        if isinstance(event, Engagement):
            row = self._engagement(request, place, event)
        else:
            row = self._exposure(request, place, impressed=True, position=event.position)
        kept.lines[stream].append(_line(row))
        kept.accepted += 1

    def _logging_probability(self, request: LoggedRequest) -> float:
        return 1.0 if request.traffic == "random" else self._impressions_kept

    def _exposure(
        self, request: LoggedRequest, place: int, *, impressed: bool, position: int | None = None
    ) -> dict[str, Any]:
        item = request.item_ids[place]
        return {
            "event_id": f"{request.request_id}/{item}",
            "request_id": request.request_id,
            "user_id": request.user_id,
            "item_id": item,
            "position": (position or request.positions[place]) if impressed else None,
            "surface": request.surface,
            "served_at": request.served_at,
            "impressed": impressed,
            "traffic": request.traffic,
            "release_id": request.release_id,
            "propensity": request.propensity,
            "logging_probability": self._logging_probability(request),
            "logging_draw": logging_draw(request.request_id, item),
            "score": request.scores[place],
            "features": request.features_of(place),
            "features_as_of": request.features_as_of,
        }

    def _engagement(self, request: LoggedRequest, place: int, event: Engagement) -> dict[str, Any]:
        return {
            "event_id": event.event_id,
            "request_id": request.request_id,
            "user_id": request.user_id,
            "item_id": event.item_id,
            "action": event.action,
            "value": event.value,
            "engaged_at": event.engaged_at,
            "served_at": request.served_at,
            "position": request.positions[place],
            "traffic": request.traffic,
            "surface": request.surface,
            "release_id": request.release_id,
            "logging_probability": self._logging_probability(request),
            "features": request.features_of(place),
        }


def logging_draw(request_id: str, item_id: str) -> float:
    """The draw that decides whether an impression is kept if nobody acts on it."""
    return draw(f"{request_id}/{item_id}", salt=LOGGING_SALT)


def quarantine_line(reason: str, unfit: Unfit) -> bytes:
    """A line that the lake's ingest quarantines for the reason named, with what may be kept of the event."""
    event = None if unfit.raw is None else unfit.raw.decode("utf-8", errors="replace")
    return _line({"quarantined": reason, "why": unfit.why, "event": event})


def _line(row: Mapping[str, Any]) -> bytes:
    return _ENCODER.encode(row) + b"\n"
