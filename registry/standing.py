"""Where each release stands: live, one that may come back, one that may still go live, or neither."""

from collections.abc import Sequence
from typing import Literal

from registry.journal import Entry
from registry.pointer import Pointer

Standing = Literal["production", "canary", "holdout", "rollback", "candidate", "reverted", "passed over"]
# What a live release, one to go back to, or one that may be promoted was made from must stay readable.
KEPT: frozenset[Standing] = frozenset({"production", "canary", "holdout", "rollback", "candidate"})


def standings(now: Pointer, entries: Sequence[Entry]) -> dict[str, Standing]:
    """The standing of every release that was saved, oldest first, from the pointer and the whole journal.

    rollback      was in production and was not taken back since it last got there
    candidate     never was in production, and its partition does not lie before that of production
    reverted      was taken back
    passed over   never was in production, and a backfill never moves production
    """
    found: dict[str, Standing] = {}
    for entry in entries:
        if entry.release is None:
            continue
        if entry.event == "saved":
            is_late = now.production is not None and entry.release[:10] < now.production[:10]
            found[entry.release] = "passed over" if is_late else "candidate"
        elif entry.event in ("promoted", "reverted"):
            if entry.event == "reverted" and entry.details["previous"]:
                found[entry.details["previous"]] = "reverted"
            found[entry.release] = "rollback"
        elif entry.event == "canary_reverted":
            found[entry.release] = "reverted"
    live: tuple[tuple[str | None, Standing], ...] = (
        (now.long_holdout, "holdout"),
        (now.holdout, "holdout"),
        (now.canary, "canary"),
        (now.production, "production"),
    )
    return found | {release: standing for release, standing in live if release is not None}
