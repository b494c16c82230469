"""What a change makes of the pointer: pure functions, from the pointer as it is to the one that follows.

They say who is served what; what a release must be to get there (verified, passed, not taken back) is the registry's to
check, and so are the version and the time of the change.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from registry.errors import ReleaseError
from registry.pointer import Move, Pointer


@dataclass(frozen=True, kw_only=True)
class Holdouts:
    """Shares of the users that stay on the release before at each publish, and on one release for `long_days`."""

    share: float
    long_share: float
    long_days: int = 28


def canary_started(now: Pointer, release: str, *, share: float, at: str) -> Pointer:
    """Raises ReleaseError where there is no production to compare it with, or a canary already."""
    if now.production is None:
        raise ReleaseError(f"{release} is no canary: nothing is in production that it could be compared with")
    _check_no_canary(now, release)
    return replace(
        now,
        event="canary_started",
        previous=None,
        canary=release,
        canary_share=share,
        canary_since=at,
        canary_held=None,
    )


def canary_ramped(now: Pointer, *, share: float, at: str) -> Pointer:
    """Raises ReleaseError for a share that would take users back."""
    if share <= now.canary_share:
        raise ReleaseError(f"{_canary(now)} has {now.canary_share:.0%} already; a ramp takes no user back")
    return replace(now, event="canary_ramped", previous=_canary(now), canary_share=share, canary_since=at)


def canary_held(now: Pointer, *, reason: str) -> Pointer:
    return replace(now, event="canary_held", previous=_canary(now), canary_held=reason)


def canary_resumed(now: Pointer) -> Pointer:
    """Raises ReleaseError unless a person holds the canary."""
    if now.canary_held is None:
        raise ReleaseError(f"nobody holds {_canary(now)}")
    return replace(now, event="canary_resumed", previous=now.canary, canary_held=None)


def canary_reverted(now: Pointer) -> Pointer:
    return replace(now, event="canary_reverted", previous=_canary(now), **_NO_CANARY)


def promoted(now: Pointer, release: str, *, at: str, holdouts: Holdouts | None) -> Pointer:
    """Production is the release; who stays on the one before is drawn anew, and every `long_days` who stays for long.

    Raises ReleaseError while another release is the canary: it is being compared with what would go.
    """
    if now.canary != release:
        _check_no_canary(now, release)
    moved = replace(now, event="promoted", previous=now.production, production=release, **_NO_CANARY)
    if holdouts is None or now.production is None:
        return replace(moved, **_NO_HOLDOUT, **_NO_LONG_HOLDOUT)
    moved = replace(moved, **_NO_HOLDOUT)
    if holdouts.share:
        moved = replace(moved, holdout=now.production, holdout_share=holdouts.share)
    if not holdouts.long_share:
        return replace(moved, **_NO_LONG_HOLDOUT)
    since = now.long_holdout_since
    if since is not None and _time(at) - _time(since) < timedelta(days=holdouts.long_days):
        return moved
    return replace(moved, long_holdout=now.production, long_holdout_share=holdouts.long_share, long_holdout_since=at)


def reverted(now: Pointer, to: str) -> Pointer:
    """Production is `to` again. A canary and a holdout were compared with what is taken back: both end.

    So does a long holdout that stays on the release taken back.
    """
    moved = replace(now, event="reverted", previous=now.production, production=to, **_NO_CANARY, **_NO_HOLDOUT)
    return replace(moved, **_NO_LONG_HOLDOUT) if now.long_holdout == now.production else moved


def subject(moved: Pointer) -> str | None:
    """The release that the pointer's last change is about."""
    if moved.event in PRODUCTION_MOVES:
        return moved.production
    return moved.canary or moved.previous


PRODUCTION_MOVES: tuple[Move, ...] = ("promoted", "reverted")
_NO_CANARY: dict[str, Any] = {"canary": None, "canary_share": 0.0, "canary_since": None, "canary_held": None}
_NO_HOLDOUT: dict[str, Any] = {"holdout": None, "holdout_share": 0.0}
_NO_LONG_HOLDOUT: dict[str, Any] = {
    "long_holdout": None,
    "long_holdout_share": 0.0,
    "long_holdout_since": None,
}


def _canary(now: Pointer) -> str:
    if now.canary is None:
        raise ReleaseError("there is no canary; `stillhouse history` lists what became of the last one")
    return now.canary


def _check_no_canary(now: Pointer, release: str) -> None:
    if now.canary is not None:
        raise ReleaseError(
            f"{release} must wait: {now.canary} is the canary, at {now.canary_share:.0%}. "
            "`stillhouse rollout` shows how it does; promote or revert it first."
        )


def _time(at: str) -> datetime:
    return datetime.fromisoformat(at)
