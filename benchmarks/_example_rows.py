"""Rows with the columns of marts.examples, every value a hash of the row's number, as SQL for the lake server."""

from collections.abc import Mapping
from typing import Any

import jinja2
import yaml

from lakehouse.home import PROJECT


def rows_in_order_of_arrival(
    *, rows: int, days: int, num_parts: int | None = None, instead: Mapping[str, str] | None = None
) -> str:
    """So many rows, the same number on each day, in `num_parts` parts of equal size (two a day by default).

    Columns are those that the contract lists; `instead` gives expressions over `id` for some of them.
    """
    columns = examples()["columns"]
    known = {
        "event_id": "concat('e', id)",
        "request_id": "concat('r', id div 10)",
        "user_id": "concat('u', pmod(xxhash64(id, 'user'), 200000))",
        "item_id": "concat('i', pmod(xxhash64(id, 'item'), 50000))",
        "served_at": f"timestamp_seconds(1767225600 + cast(id * {86400 * days} / {rows} as bigint))",
        "day": f"date_add(date'2026-01-01', cast(id * {days} div {rows} as int))",
        "position": "cast(1 + pmod(id, 10) as int)",
        "traffic": "'policy'",
        "release_id": "cast(null as string)",
        "propensity": "cast(null as double)",
        "logging_probability": "1.0D",
        "draw": macro("draw", "concat('e', id)", "sampling-1"),
        "acted": f"cast({chance('action')} < 0.02 as int)",
        "clicked": f"cast({chance('action')} < 0.015 as int)",
        **(instead or {}),
    }
    chosen = [f"{known.get(column['name']) or any_value(**column)} as {column['name']}" for column in columns]
    return f"select {', '.join(chosen)} from range(0, {rows}, 1, {num_parts or 2 * days})"


def settings() -> list[str]:
    """What the project sets before it writes marts.examples, as SQL."""
    return [str(setting) for setting in examples()["config"]["pre_hook"]]


def layout() -> str:
    """How the project lays out marts.examples, as SQL: partitions and table properties."""
    project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())
    given = project["models"]["stillhouse"]["+tblproperties"]
    properties = ", ".join(f"'{name}' = '{value}'" for name, value in given.items())
    return f"partitioned by ({examples()['config']['partition_by']}) tblproperties ({properties})"


def examples() -> dict[str, Any]:
    """What the project says of marts.examples."""
    models = yaml.safe_load((PROJECT / "models" / "marts" / "_marts.yml").read_text())["models"]
    return next(model for model in models if model["name"] == "examples")


def any_value(*, name: str, data_type: str, **_: object) -> str:
    """A feature, segment or label by its type: one of eight words, up to three words, a number."""
    word = f"concat('{name}-', pmod(xxhash64(id, '{name}'), 8))"
    return {
        "string": word,
        "array<string>": f"slice(array({word}, 'one', 'other'), 1, cast(1 + pmod(id, 3) as int))",
        "int": f"cast({chance(name)} < 0.005 as int)",
        "double": chance(name),
    }[data_type]


def chance(purpose: str) -> str:
    """A number in [0, 1) for each row."""
    return f"(pmod(xxhash64(id, '{purpose}'), 1000003) / 1000003)"


def macro(name: str, *arguments: str) -> str:
    """What one of the project's macros compiles to."""
    text = "".join(path.read_text() for path in sorted((PROJECT / "macros").glob("*.sql")))
    call = f"{{{{ {name}({', '.join(map(repr, arguments))}) }}}}"
    return jinja2.Environment(extensions=["jinja2.ext.do"]).from_string(text + call).render().strip()
