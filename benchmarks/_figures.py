"""A benchmark's figures: printed as a table and written to build/bench/<name>.json."""

import json
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from lakehouse.home import PROJECT

FOLDER = PROJECT / "build" / "bench"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One claim: our figure beside a baseline measured in the same run, and whether the goal is met."""

    figure: str
    ours: float
    baseline: float
    goal: str
    holds: bool

    @property
    def ratio(self) -> float | None:
        """None beside a baseline of 0."""
        return self.ours / self.baseline if self.baseline else None


def report(name: str, figures: list[Figure]) -> None:
    """Print `figures` and write them to build/bench/<name>.json."""
    table = Table("figure", "ours", "baseline", "ratio", "goal", "holds", title=name)
    for one in figures:
        holds = "yes" if one.holds else "[bold red]no[/]"
        table.add_row(
            one.figure,
            f"{one.ours:.5g}",
            f"{one.baseline:.5g}",
            "" if one.ratio is None else f"{one.ratio:.4g}",
            one.goal,
            holds,
        )
    Console().print(table)
    rows = [{**asdict(one), "ratio": one.ratio} for one in figures]
    path = FOLDER / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    print(f"written to {path}")
