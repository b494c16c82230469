"""The registry: saves releases, moves the pointer, keeps the journal, and agrees with itself after any kill.

The pointer file is the commit point of a promotion or a revert. It carries the whole change, so that a publisher that
dies between the pointer and the journal leaves an entry that anybody can still write: the next change does, and until
then `journal()` shows it. A release folder without a `saved` entry is noticed in the same way. Changes hold one lock.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from registry import artifact, journal, moves, pointer
from registry.artifact import Artifact, check_id
from registry.errors import ReleaseError
from registry.exclusions import Exclusion, exclusions
from registry.journal import Entry, Event
from registry.lineage import MAX_TEACHERS, Lineage
from registry.moves import Holdouts
from registry.pointer import Pointer


class Registry:
    """The releases under one folder. Reading needs no write access; see the module for what a change guarantees."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def save(self, files: Mapping[str, bytes], *, lineage: Lineage) -> Artifact:
        """Save a release; the same content again is the same release (see `registry.artifact.write`)."""
        with self._changing():
            saved = artifact.write(self.root, files, lineage=lineage)
            self._note_saved()
            return saved

    def load(self, release_id: str) -> Artifact:
        """A release's bytes, all verified: against its manifest, its id, and the hash that the journal remembers."""
        found = artifact.read(self.root, release_id)
        for entry in journal.read(self.root):
            if entry.event == "saved" and entry.release == release_id and entry.details["manifest"] != found.hash:
                raise ReleaseError(f"release {release_id} is refused: it is not the one that was saved on {entry.at}")
        return found

    def verify(self, release_id: str) -> Artifact:
        """The same as `load`, named for those who want to know only that it does not raise."""
        return self.load(release_id)

    def pointer(self) -> Pointer:
        return pointer.read(self.root)

    def production(self) -> str | None:
        """The id of what is in production, None before the first release."""
        return self.pointer().production

    def journal(self) -> list[Entry]:
        """Every change, oldest first, with the entry that a killed publisher may still owe."""
        while True:
            now = self.pointer()
            entries = journal.read(self.root)
            # A change between the two reads would show an entry as owed that has just been written, or hide one.
            if self.pointer() == now:
                break
        if now.version > _recorded_version(entries):
            entries.append(Entry(number=len(entries) + 1, **_entry_of(now)))
        return entries

    def reverted(self) -> dict[str, Entry]:
        """The releases that were taken back, from production or as canary, each with the entry that says why. Kept for
        good."""
        events = ("reverted", "canary_reverted")
        return {entry.details["previous"]: entry for entry in self.journal() if entry.event in events}

    def brought(self) -> Entry | None:
        """The entry of the promotion or revert that put production where it is; None before the first release."""
        moved = [entry for entry in self.journal() if entry.event in moves.PRODUCTION_MOVES]
        return moved[-1] if moved else None

    def overridden(self) -> dict[str, Entry]:
        """The releases whose gate a person overrode, each with the entry that says who and why. Kept for good."""
        return {entry.release: entry for entry in self.journal() if entry.event == "overridden" and entry.release}

    def forgotten(self) -> dict[str, Entry]:
        """The releases that cannot be made again, because somebody was forgotten of whom they were made. For good."""
        return {entry.release: entry for entry in self.journal() if entry.event == "forgotten" and entry.release}

    def record_forgotten(self, release_id: str, *, reason: str, inputs: Sequence[str]) -> None:
        """Keep that a release cannot be made again, and which of its inputs lost rows; once for a release.

        Neither `reason` nor `inputs` may name who was forgotten: the journal is kept for good.
        """
        with self._changing():
            if release_id not in self.forgotten():
                self._append("forgotten", check_id(release_id), reason=reason, details={"inputs": [*inputs]})

    def teacher(self, *, before: str | None = None) -> str | None:
        """The release that the next student distils from: the last one promoted that was never reverted.

        `before` (a day) asks for the teacher of that partition: only releases of earlier partitions count, so that a
        partition trained again does not learn from itself. None when there is none.
        """
        taken_back = self.reverted()
        promoted = [entry.release for entry in self.journal() if entry.event == "promoted" and entry.release]
        good = [release_id for release_id in promoted if release_id not in taken_back]
        if before is not None:
            good = [release_id for release_id in good if _partition(release_id) < before]
        return good[-1] if good else None

    def teachers(self, teacher: str | None) -> tuple[str, ...]:
        """The chain that ends in a student of `teacher`: the teacher, its own, and so on, at most MAX_TEACHERS."""
        if teacher is None:
            return ()
        return (teacher, *self.load(teacher).lineage.teachers)[:MAX_TEACHERS]

    def record_gate(self, release_id: str, *, verdict: str, reason: str) -> None:
        """Keep the gate's verdict on a saved release; the same verdict again adds nothing."""
        with self._changing():
            artifact.read(self.root, release_id)
            known = [
                entry for entry in journal.read(self.root) if entry.event == "gate" and entry.release == release_id
            ]
            if known and known[-1].details["verdict"] == verdict and known[-1].reason == reason:
                return
            self._append("gate", release_id, reason=reason, details={"verdict": verdict})

    def promote(
        self, release_id: str, *, expected_version: int, reason: str, holdouts: Holdouts | None = None
    ) -> Pointer:
        """Put a release into production, after verifying all of it.

        `expected_version` is the pointer version that the decision was taken on; if it moved on since, somebody else
        promoted or reverted and the decision is void. What is in production already is left as it is, so that a run
        that was killed here can be run again. Raises ReleaseError also for a release that was reverted, that the gate
        did not pass, or whose partition lies before that of production (a backfill never moves production), and while
        another release is the canary.
        """
        with self._changing():
            now = self.pointer()
            if now.production == release_id:
                return now
            self._check_version(now, release_id, expected=expected_version)
            self._check_may_follow(release_id, production=now.production)
            self._check_gate(self.load(release_id))
            return self._point(moves.promoted(now, release_id, at=_now(), holdouts=holdouts), since=now, reason=reason)

    def start_canary(self, release_id: str, *, share: float, expected_version: int, reason: str) -> Pointer:
        """Give a release its first share of the users, after verifying all of it.

        What is the canary, or in production, already is left as it is. Raises ReleaseError where `promote` does.
        """
        with self._changing():
            now = self.pointer()
            if release_id in (now.canary, now.production):
                return now
            self._check_version(now, release_id, expected=expected_version)
            self._check_may_follow(release_id, production=now.production)
            self._check_gate(self.load(release_id))
            return self._point(moves.canary_started(now, release_id, share=share, at=_now()), since=now, reason=reason)

    def ramp_canary(self, *, share: float, expected_version: int, reason: str) -> Pointer:
        """Give the canary a larger share. Raises ReleaseError if the pointer moved on since the decision."""
        with self._changing():
            now = self.pointer()
            self._check_version(now, str(now.canary), expected=expected_version)
            return self._point(moves.canary_ramped(now, share=share, at=_now()), since=now, reason=reason)

    def hold_canary(self, *, by: str, reason: str) -> Pointer:
        """Keep the canary at its share until `resume_canary`, unless it does harm."""
        with self._changing():
            now = self.pointer()
            return self._point(moves.canary_held(now, reason=reason), since=now, reason=reason, by=by)

    def resume_canary(self, *, by: str, reason: str) -> Pointer:
        """Let figures decide again about a canary that a person holds."""
        with self._changing():
            now = self.pointer()
            return self._point(moves.canary_resumed(now), since=now, reason=reason, by=by)

    def revert_canary(self, *, reason: str, expected_version: int | None = None) -> Pointer:
        """Take the canary back: production answers all again, and the release is marked as one that was taken back.

        Raises ReleaseError if there is none, or the pointer moved on since the decision.
        """
        with self._changing():
            now = self.pointer()
            if expected_version is not None:
                self._check_version(now, str(now.canary), expected=expected_version)
            return self._point(moves.canary_reverted(now), since=now, reason=reason)

    def exclusions(self) -> tuple[Exclusion, ...]:
        """The rows that nobody trains on by default; see `registry.exclusions`."""
        return exclusions(self.pointer(), self.journal())

    def exclude(self, *, since: str, until: str, by: str, reason: str) -> None:
        """Leave out of training what was served in [since, until), ISO times with a zone.

        Raises ReleaseError for a window that is none, and without a name or a reason.
        """
        _check_word("leaving rows out", by=by, reason=reason)
        start, end = (_moment(at) for at in (since, until))
        if not start < end:
            raise ReleaseError(f"the window from {since} to {until} is empty; it must end after it begins")
        with self._changing():
            details = {"by": by, "since": start.isoformat(), "until": end.isoformat()}
            self._append("excluded", None, reason=reason, details=details)

    def readmit(self, number: int, *, by: str, reason: str) -> None:
        """Train again on the window that journal entry `number` left out. Raises ReleaseError if it leaves none out."""
        _check_word("readmitting rows", by=by, reason=reason)
        with self._changing():
            windows = [one.number for one in self.exclusions() if one.kind == "window"]
            if number not in windows:
                raise ReleaseError(f"{number} leaves no window out; those that do are {windows}")
            self._append("readmitted", None, reason=reason, details={"by": by, "number": number})

    def override(
        self,
        release_id: str,
        *,
        by: str,
        reason: str,
        canary_share: float | None = None,
        holdouts: Holdouts | None = None,
    ) -> Pointer:
        """Release what its gate did not pass, on a person's word, which is kept for good.

        It goes into production at once, or first to `canary_share` of the users. The word is written before the pointer
        moves. After a kill in between the same call, or any promotion of this release, goes on from there. Raises
        ReleaseError without a name or a reason, for a release that its gate passed or never judged, and where `promote`
        does for anything but the gate.
        """
        _check_word("an override", by=by, reason=reason)
        with self._changing():
            now = self.pointer()
            verdict = _verdict(self.load(check_id(release_id)))
            if now.production == release_id:
                raise ReleaseError(f"{release_id} is in production already")
            if verdict in (None, "pass"):
                said = "was never judged" if verdict is None else "was passed by its gate"
                raise ReleaseError(f"{release_id} {said}: there is nothing to override")
            self._check_may_follow(release_id, production=now.production)
            if release_id not in self.overridden():
                self._append("overridden", release_id, reason=reason, details={"by": by, "verdict": verdict})
            kept = self.overridden()[release_id]
            said = f"{kept.details['verdict']}, overridden by {kept.details['by']}: {kept.reason}"
            if canary_share is None:
                moved = moves.promoted(now, release_id, at=_now(), holdouts=holdouts)
            else:
                moved = moves.canary_started(now, release_id, share=canary_share, at=_now())
            return self._point(moved, since=now, reason=said, by=kept.details["by"])

    def revert(self, *, to: str | None = None, reason: str) -> Pointer:
        """Take production back to `to`, by default the last good release before it; marks the one taken back.

        Teacher, serving model and calibrator come back as one, for they are one release; its hashes are verified
        before the pointer moves. A marked release never becomes a teacher again. Raises ReleaseError if there is
        nothing to go back to, or `to` was never in production.
        """
        with self._changing():
            now = self.pointer()
            if now.production is None:
                raise ReleaseError("there is nothing to revert: nothing was released yet")
            if to == now.production:
                raise ReleaseError(f"{to} is in production already; name another release or leave --to out")
            target = check_id(to) if to is not None else self._last_good_before(now.production)
            if target not in {entry.release for entry in self.journal() if entry.event in ("promoted", "reverted")}:
                raise ReleaseError(f"{target} was never in production; `stillhouse history` lists what was")
            self.load(target)
            return self._point(moves.reverted(now, target), since=now, reason=reason)

    def _last_good_before(self, production: str) -> str:
        taken_back = self.reverted()
        promoted = [entry.release for entry in self.journal() if entry.event == "promoted" and entry.release]
        earlier = promoted[: promoted.index(production)]
        good = [release_id for release_id in earlier if release_id not in taken_back]
        if not good:
            raise ReleaseError(f"there is no good release before {production} to go back to; name one with --to")
        return good[-1]

    def _check_version(self, now: Pointer, release_id: str, *, expected: int) -> None:
        """A decision holds for the pointer that it was taken on."""
        if now.version != expected:
            raise ReleaseError(
                f"{release_id} is not promoted: it was judged on pointer version {expected}, which is now "
                f"{now.version} (production {now.production}). Compare with that release and decide again."
            )

    def _check_may_follow(self, release_id: str, *, production: str | None) -> None:
        """A release that was taken back, or is older than production, does not come after it."""
        taken_back = self.reverted().get(check_id(release_id))
        if taken_back is not None:
            raise ReleaseError(
                f"{release_id} is not promoted: it was reverted on {taken_back.at} ({taken_back.reason}). Train "
                f"again on corrected data, or `stillhouse revert --to {release_id}` if that was a mistake."
            )
        if production is not None and _partition(release_id) < _partition(production):
            raise ReleaseError(
                f"{release_id} is not promoted: it is older than production, {production}, and a backfill "
                "never moves production. `stillhouse revert --to` restores a release that was in production."
            )

    def _check_gate(self, candidate: Artifact) -> None:
        """A release that carries its gate's decision must carry a pass, or have been overridden."""
        verdict = _verdict(candidate)
        if verdict not in (None, "pass") and candidate.id not in self.overridden():
            raise ReleaseError(
                f"{candidate.id} is not promoted: its gate said {verdict}; `stillhouse gate show {candidate.id}` says "
                "why, and how a person can overrule it"
            )

    def _point(self, pointed: Pointer, *, since: Pointer, reason: str, by: str | None = None) -> Pointer:
        """Move the pointer, then write the entry: see the module for why in this order."""
        moved = replace(pointed, version=since.version + 1, updated_at=_now(), reason=reason, by=by)
        pointer.write(self.root, moved)
        self._note_pointer()
        return moved

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """The lock, and a registry that agrees with itself: finishes what a killed publisher left."""
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / ".lock"):
            for entry in os.scandir(self.root):
                if entry.name.startswith(artifact.UNFINISHED):
                    shutil.rmtree(entry.path)
            journal.repair(self.root, at=_now())
            self._note_saved()
            self._note_pointer()
            yield

    def _note_pointer(self) -> None:
        """Write the pointer's last change into the journal unless it is there."""
        now = self.pointer()
        if now.version > _recorded_version(journal.read(self.root)):
            journal.append(self.root, **_entry_of(now))

    def _note_saved(self) -> None:
        """Write a `saved` entry for every release folder that has none."""
        known = {entry.release for entry in journal.read(self.root) if entry.event == "saved"}
        for name in sorted(entry.name for entry in os.scandir(self.root)):
            if artifact.RELEASE_ID.fullmatch(name) and name not in known:
                try:
                    found = artifact.read(self.root, name)
                except ReleaseError:
                    # Not a release that anybody saved, and `load` refuses it; it must not stand in a revert's way.
                    continue
                teacher, dropped = found.lineage.teacher, found.lineage.dropped_teacher
                reason = f"a student of {teacher}" if teacher else "trained without a teacher"
                if dropped:
                    reason = f"released without its teacher, {dropped}: its control did better"
                self._append("saved", name, reason=reason, details={"manifest": found.hash, "teacher": teacher})

    def _append(self, event: Event, release: str | None, *, reason: str, details: Mapping[str, Any]) -> None:
        journal.append(self.root, event=event, at=_now(), release=release, reason=reason, details=details)


# Of the pointer's fields, those that its journal entry has in other places.
ENTRY_HAS = ("version", "event", "updated_at", "reason")


def _verdict(release: Artifact) -> str | None:
    """What the gate said of a release; None where it was never asked."""
    return str(release.json("gate.json")["verdict"]) if "gate.json" in release.files else None


def _check_word(what: str, *, by: str, reason: str) -> None:
    if not by.strip() or not reason.strip():
        raise ReleaseError(f"{what} needs the name of who takes it upon themselves, and why")


def _moment(at: str) -> datetime:
    try:
        moment = datetime.fromisoformat(at)
    except ValueError as error:
        raise ReleaseError(f"{at!r} is no ISO 8601 time, such as 2026-03-02T09:00:00Z") from error
    if moment.tzinfo is None:
        raise ReleaseError(f"{at!r} has no zone; write 2026-03-02T09:00:00Z")
    return moment.astimezone(UTC)


def _entry_of(moved: Pointer) -> dict[str, Any]:
    """The journal entry of the pointer's last change, but for its number."""
    return {
        "at": moved.updated_at,
        "event": moved.event,
        "release": moves.subject(moved),
        "reason": moved.reason,
        "details": {
            "pointer_version": moved.version,
            **{name: value for name, value in vars(moved).items() if name not in ENTRY_HAS},
        },
    }


def _recorded_version(entries: list[Entry]) -> int:
    """The pointer version of the last change that the journal holds; 0 for none."""
    versions = [entry.details["pointer_version"] for entry in entries if "pointer_version" in entry.details]
    return versions[-1] if versions else 0


def _partition(release_id: str) -> str:
    """The day in front of a release id; ISO days sort as text."""
    return release_id[:10]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
