"""The demo's result for a person: a table on the terminal, and one self-contained page with the pictures."""

from typing import Any

from rich.console import Console
from rich.table import Table

from decisions.criterion import in_order
from lakehouse.home import Home
from orchestration.page import figure, pictures, render
from registry import Registry

FIGURES = ("auc", "log_loss", "pcoc", "churn")


def page(rows: list[dict[str, Any]], *, data: str, home: Home) -> str:
    """The table, and for each release its pictures and every criterion of its gate, in one HTML file."""
    registry = Registry(home.releases)
    artifacts = {row["release"]: registry.load(row["release"]) for row in rows}
    return render(
        "demo.html",
        data=data,
        rows=rows,
        figures=FIGURES,
        criteria={release: in_order(one.json("gate.json")["criteria"]) for release, one in artifacts.items()},
        pictures={release: pictures(one.files) for release, one in artifacts.items()},
    )


def table(rows: list[dict[str, Any]]) -> None:
    """The same rows on the terminal, each with the gate's reason below it."""
    columns = ("week", "release", "teacher", "rows", "AUC", "log loss", "PCOC", "churn", "gate")
    shape = Table(*columns, title="Retrains, oldest first", title_justify="left")
    for row in rows:
        shape.add_row(
            row["week"],
            row["release"] + (" *" if row["in_production"] else ""),
            row["teacher"] or "none",
            f"{row['training_rows']:,}",
            *(figure(row[name]) for name in FIGURES),
            row["verdict"],
        )
    console = Console(width=None if Console().is_terminal else 140)
    console.print(shape)
    console.print("* was put into production")
    for row in rows:
        console.print(f"{row['week']}  {row['verdict']}: {row['reason']}", markup=False, highlight=False)
