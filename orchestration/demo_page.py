"""The demo's result for a person: a table on the terminal, and one self-contained page with the pictures."""

import base64
from typing import Any

from jinja2 import Environment
from rich.console import Console
from rich.table import Table

from lakehouse.home import Home
from registry import Registry

FIGURES = ("auc", "log_loss", "pcoc", "churn")

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Stillhouse: {{ data }}</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; color: #222; }
  table { border-collapse: collapse; } th, td { padding: .3rem .7rem; text-align: left; border-bottom: 1px solid #ddd; }
  td.n { text-align: right; font-variant-numeric: tabular-nums; } .pass { color: #176b3a; } .block { color: #a11d1d; }
  .needs-a-person { color: #8a5a00; } figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top; }
  img { max-width: 500px; }
  code { font-size: 13px; }
</style>
<h1>Retrains on {{ data }}</h1>
<p>Each week was trained on rows served before its windows, with the release before it as teacher, and judged on the
days after everything that either model had seen. PCOC is predicted over observed actions; churn is the mean of
2|p − q| / (p + q) against the release before.</p>
<table>
  <tr><th>week</th><th>release</th><th>teacher</th><th>rows</th><th>AUC</th><th>log loss</th><th>PCOC</th><th>churn</th>
      <th>gate</th></tr>
  {% for row in rows %}
  <tr><td>{{ row.week }}</td><td><a href="#{{ row.release }}"><code>{{ row.release }}</code></a></td>
      <td><code>{{ row.teacher or "none" }}</code></td><td class="n">{{ "{:,}".format(row.training_rows) }}</td>
      {% for figure in figures %}<td class="n">{{ shown(row[figure]) }}</td>{% endfor %}
      <td class="{{ row.verdict }}">{{ row.verdict }}</td></tr>
  {% endfor %}
</table>
{% for row in rows %}
<h2 id="{{ row.release }}">{{ row.week }}: <span class="{{ row.verdict }}">{{ row.verdict }}</span></h2>
<p>{{ row.reason }}</p>
{% for name, picture in pictures[row.release].items() %}
<figure><img src="data:image/png;base64,{{ picture }}" alt="{{ name }}"><figcaption>{{ name }}</figcaption></figure>
{% endfor %}
<details><summary>Every criterion</summary><table>
  <tr><th>criterion</th><th>status</th><th>figure</th><th>lower</th><th>upper</th><th>limit</th><th>reason</th></tr>
  {% for criterion in criteria[row.release] %}
  <tr><td>{{ criterion.name }}</td><td class="{{ criterion.status }}">{{ criterion.status }}</td>
      {% for part in ("figure", "lower", "upper", "limit") %}<td class="n">{{ shown(criterion[part]) }}</td>{% endfor %}
      <td>{{ criterion.reason }}</td></tr>
  {% endfor %}
</table></details>
{% endfor %}
</html>
"""


def page(rows: list[dict[str, Any]], *, data: str, home: Home) -> str:
    """The table, and for each release its pictures and every criterion of its gate, in one HTML file."""
    registry = Registry(home.releases)
    artifacts = {row["release"]: registry.load(row["release"]) for row in rows}
    return (
        Environment(autoescape=True)
        .from_string(PAGE)
        .render(
            data=data,
            rows=rows,
            figures=FIGURES,
            shown=shown,
            criteria={release: artifact.json("gate.json")["criteria"] for release, artifact in artifacts.items()},
            pictures={
                release: {
                    name.removesuffix(".png").replace("_", " "): base64.b64encode(content).decode()
                    for name, content in artifact.files.items()
                    if name.endswith(".png")
                }
                for release, artifact in artifacts.items()
            },
        )
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
            *(shown(row[figure]) for figure in FIGURES),
            row["verdict"],
        )
    console = Console(width=None if Console().is_terminal else 140)
    console.print(shape)
    console.print("* was put into production")
    for row in rows:
        console.print(f"{row['week']}  {row['verdict']}: {row['reason']}", markup=False, highlight=False)


def shown(value: float | None) -> str:
    """A figure in a cell; what does not apply (the first release has no churn) is a dash."""
    return "–" if value is None else f"{value:.4f}"
