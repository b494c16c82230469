"""Each kind of anomaly planted into 20 simulated days: blocked, and for the right reason? (25 minutes)

The days are those of a service whose users, items and tastes come and go, with 10,000 examples and 51 features each;
clean days are judged as well. The rules' limits were chosen on worlds 100 to 104.
"""

from collections.abc import Mapping
from datetime import date, timedelta

from rich.console import Console
from rich.table import Table

from benchmarks._anomalies import COLUMNS, PLANT_ON, ROWS, Kind, worlds_with_anomalies
from benchmarks._figures import Figure, report
from benchmarks._service_days import IDS, KINDS, WorldFigures
from decisions.anomalies import Finding, Promise, anomalies
from decisions.data_checks import check_columns
from decisions.days import DayFigures
from simulator.world import START

PROMISE = Promise(kinds=KINDS, ids=IDS, random_slice=True, positions=True)


def main() -> None:
    worlds = worlds_with_anomalies()
    found: dict[str, list[bool]] = {}
    for world in worlds:
        known = {one.day: one for one in world.days}
        for kind in ROWS:
            found.setdefault(kind.what, []).extend(
                is_found(kind, known, day, broken) for day, broken in world.planted[kind.what]
            )
    for what, change in COLUMNS.items():
        found[what] = [is_refused(change, number) for number in range(len(worlds) * len(PLANT_ON))]
    clean = [finding for world in worlds for finding in findings_on_clean_days(world)]
    table = Table("anomaly", "found", "of", title="blocked for the right reason")
    for what, hits in sorted(found.items(), key=lambda one: (sum(one[1]), one[0])):
        table.add_row(what, str(sum(hits)), str(len(hits)))
    Console().print(table)
    for finding in clean:
        print(f"a clean day blocked: {finding.day} {finding.rule}: {finding.reason}")
    days = sum(len(world.days) - 28 for world in worlds)
    blocked = len({finding.day for finding in clean})
    hits = [hit for one in found.values() for hit in one]
    report(
        "anomalies",
        [
            Figure(
                figure=f"share found of {len(hits)} ({len(found)} kinds), baseline the goal",
                ours=sum(hits) / len(hits),
                baseline=0.99,
                goal="≥ .99",
                holds=sum(hits) / len(hits) >= 0.99 and len(found) >= 30,
            ),
            Figure(
                figure=f"clean days blocked, baseline all {days}",
                ours=blocked,
                baseline=days,
                goal="0 of 1,000",
                holds=blocked == 0 and days >= 1000,
            ),
        ],
    )


def is_found(kind: Kind, days: Mapping[date, DayFigures], day: date, broken: DayFigures | None) -> bool:
    """Whether the rule that must say so does, with the word that its reason must hold."""
    known = {when: one for when, one in days.items() if when < day} | ({day: broken} if broken else {})
    found = anomalies(known, since=day, until=day + timedelta(days=1), first_day=START, promise=PROMISE)
    hit = any(one.rule == kind.rule and kind.word in one.reason for one in found)
    if not hit:
        print(f"not found: {kind.what} on {day}; found was {[(one.rule, one.reason) for one in found]}")
    return hit


def is_refused(change: Mapping[str, str | None], number: int) -> bool:
    """Whether a table is refused whose column of that number has another type, or none."""
    kinds = {name: {"numeric": "numbers", "sequence": "lists"}.get(kind, "words") for name, kind in KINDS.items()}
    name = sorted(kinds)[number % len(kinds)]
    stored = change.get(kinds[name])
    found = {**kinds, name: stored} if stored else {one: kind for one, kind in kinds.items() if one != name}
    criterion = check_columns(kinds, found)
    return criterion.status == "block" and name in criterion.reason


def findings_on_clean_days(world: WorldFigures) -> list[Finding]:
    """Every day judged by itself, as if nothing before it had been blocked."""
    days = {one.day: one for one in world.days}
    return [
        finding
        for number in range(28, len(world.days))
        for finding in anomalies(
            days,
            since=START + timedelta(days=number),
            until=START + timedelta(days=number + 1),
            first_day=START,
            promise=PROMISE,
        )
    ]


if __name__ == "__main__":
    main()
