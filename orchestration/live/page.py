"""The drill's result for a person: tables on the terminal, and one self-contained page."""

from typing import Any

from rich.console import Console
from rich.table import Table

from orchestration.page import render


def page(report: dict[str, Any]) -> str:
    return render("live.html", **report)


def tables(report: dict[str, Any]) -> None:
    """What each week brought, what became of the planted releases, and what each publish was worth beside the truth."""
    console = Console(width=None if Console().is_terminal else 160)
    kept = {row["week"]: row for row in report["kept_by_week"]}
    weeks = Table("week", "requests by release", "events", "exposures kept", title="Weeks", title_justify="left")
    for week in report["weeks"]:
        of_week = kept.get(week["week"], {"exposures": 0})
        weeks.add_row(
            week["week"],
            "\n".join(f"{release}: {count:,}" for release, count in week["served"].items()),
            ", ".join(f"{count:,} {outcome}" for outcome, count in week["events"].items() if count),
            f"{of_week['exposures']:,}",
        )
    console.print(weeks)
    for week in report["weeks"]:
        for said in [*week["decisions"], *([f"retrained {week['retrained']}"] if week["retrained"] else [])]:
            console.print(f"{week['week']}  {said}", markup=False, highlight=False)
    planted = Table("planted", "release", "outcome", title="Planted bad releases", title_justify="left")
    for one in report["planted"]:
        outcome = f"taken back: {one['why']}" if one["reverted"] else "[red]not taken back"
        planted.add_row(one["what"], one["release"], outcome)
    console.print(planted)
    lifts = Table(title="Clicks a request, beside those who stayed on the release before", title_justify="left")
    for name in ("release", "held out on", "requests", "held-out requests", "lift, 99 %", "true lift", "inside"):
        lifts.add_column(name)
    for row in report["experiments"]:
        lifts.add_row(
            row["release"],
            row["holdout"],
            f"{row['requests']:,}",
            f"{row['holdout_requests']:,}",
            f"{row['lift']:+.1%} ({row['lower']:+.1%} to {row['upper']:+.1%})",
            f"{row['true_lift']:+.1%}",
            "yes" if row["truth_is_inside"] else "[red]no",
        )
    console.print(lifts)
    console.print(f"{report['seconds'] / 60:.1f} minutes, seed {report['seed']}")
