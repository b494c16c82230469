"""What each release needs of the lake to be made again, whether it is still there, and vacuum with that in hand."""

from dataclasses import dataclass
from functools import cache

from lakehouse import frozen, guard, versions
from lakehouse import vacuum as tables
from lakehouse.delta_log import Fault
from lakehouse.home import Home
from lakehouse.session import connect
from lakehouse.versions import Pin
from registry import Input
from registry.registry import Registry
from registry.standing import KEPT, Standing, standings


@dataclass(frozen=True, kw_only=True)
class Need:
    """One version that a release was made from; `fault`: why it cannot be read any more; `copy`: its frozen rows.

    `forgotten`: since when the release cannot be made again, because somebody was forgotten of whom it was made.
    """

    release: str
    standing: Standing
    pin: Pin
    rows: int
    fault: str | None
    copy: Pin | None
    forgotten: str | None = None

    @property
    def is_kept(self) -> bool:
        """Whether vacuum leaves the version alone for this release."""
        return self.standing in KEPT and self.copy is None and self.forgotten is None


@dataclass(frozen=True, kw_only=True)
class Vacuum:
    """What a vacuum did to each table, the tables that it left alone, and versions that were gone before it."""

    tables: list[tables.Vacuumed]
    left_alone: list[Fault]
    gone: list[Need]


def pin_of(source: Input) -> Pin:
    """The version that an input of a release was read from."""
    return Pin(relation=source.relation, path=source.path, table_id=source.table_id, version=source.version)


def needs(home: Home) -> list[Need]:
    """Every version that a saved release was made from, oldest release first, one entry for each (release, version).

    Raises ReleaseError for a release that is there and does not verify: nobody knows what it needs.
    """
    registry = Registry(home.releases)
    check = cache(versions.fault)
    forgotten = {release: entry.at[:10] for release, entry in registry.forgotten().items()}
    found = []
    for release, standing in standings(registry.pointer(), registry.journal()).items():
        if not (home.releases / release).exists():
            continue  # deleted by hand: there is nothing to make again
        rows: dict[Pin, int] = {}
        for source in registry.load(release).lineage.inputs:
            rows[pin_of(source)] = rows.get(pin_of(source), 0) + source.rows
        copies = frozen.copies(home, release)
        found += [
            Need(
                release=release,
                standing=standing,
                pin=pin,
                rows=num_rows,
                fault=check(pin),
                copy=copies.get(pin),
                forgotten=forgotten.get(release),
            )
            for pin, num_rows in rows.items()
        ]
    return found


def vacuum(home: Home, *, older_than_days: float, dry_run: bool) -> Vacuum:
    """Vacuum every registered table, keeping what live releases and those that may come back were made from.

    Starts the lake: only its catalogue knows which tables are registered. Raises as `lakehouse.vacuum.vacuum` does,
    and ReleaseError for a release that does not verify.
    """
    left_alone = guard.unregistered(home, connect(home))
    all_needs = needs(home)
    done = tables.vacuum(
        home,
        keep={need.pin for need in all_needs if need.is_kept},
        older_than_days=older_than_days,
        dry_run=dry_run,
        leave=[fault.path for fault in left_alone],
    )
    gone = [need for need in all_needs if need.is_kept and need.fault is not None]
    return Vacuum(tables=done, left_alone=left_alone, gone=gone)
