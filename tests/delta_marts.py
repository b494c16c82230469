"""The marts that sampling reads, of 240,000 rows in prefix order and the project's own recipes; no JVM."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import WriterProperties, write_deltalake

from lakehouse.home import Home
from lakehouse.recipes import Recipe
from lakehouse.sampling import read_sample
from lakehouse.versions import pin

DAYS = [date(2026, 1, 1) + timedelta(days=day) for day in range(2)]
ROWS_OF_DAY = 120_000


def write(home: Home, relation: str, rows: pa.Table, **options: Any) -> None:
    schema, name = relation.split(".")
    path = home.warehouse / f"{schema}.db" / name
    path.mkdir(parents=True, exist_ok=True)
    properties = WriterProperties(max_row_group_size=20_000, data_page_row_count_limit=20_000)
    write_deltalake(path, rows, mode="append", writer_properties=properties, **options)


def write_marts(home: Home, recipes: list[Recipe]) -> None:
    """Examples, rates of all `recipes`, and the training examples of the materialised ones. No recipe has a rule that
    matches: every row is in the stratum `otherwise`."""
    chance = np.random.default_rng(1)
    rates = []
    for day in DAYS:
        acted = (chance.random(ROWS_OF_DAY) < 0.02).astype(np.int32)
        draw = chance.random(ROWS_OF_DAY)
        order = np.lexsort((draw, -acted))
        rows = pa.table(
            {
                "event_id": [f"e{day}-{number}" for number in range(ROWS_OF_DAY)],
                "day": pa.repeat(pa.scalar(day), ROWS_OF_DAY),
                "acted": acted,
                "draw": draw,
                "traffic": pa.repeat("policy", ROWS_OF_DAY),
                "user_slice": pa.repeat("train", ROWS_OF_DAY),
                "user_segment": pa.repeat("plain", ROWS_OF_DAY),
                "surface": pa.repeat("elsewhere", ROWS_OF_DAY),
                "logging_probability": np.ones(ROWS_OF_DAY),
                "feature": chance.random(ROWS_OF_DAY),
            }
        ).take(order)
        write(home, "marts.examples_v1", rows)
        positives = int(acted.sum())
        rates += [
            {
                "day": day,
                "recipe": recipe.name,
                "stratum": "otherwise",
                "rows_in": ROWS_OF_DAY,
                "positives_in": positives,
                "negatives_in": ROWS_OF_DAY - positives,
                "sampling_keep": recipe.otherwise,
                "definition": recipe.definition,
            }
            for recipe in recipes
        ]
    write(home, "marts.sampling_rates", pa.Table.from_pylist(rates))
    pins = {name: pin(f"marts.{name}", home=home) for name in ("examples_v1", "sampling_rates")}
    for recipe in recipes:
        if recipe.materialised:
            sample = read_sample(pins["examples_v1"], recipe=recipe, rates=pins["sampling_rates"])
            write(home, "marts.training_examples", sample, partition_by=["recipe"])
