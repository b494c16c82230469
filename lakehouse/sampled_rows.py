"""The ledger of kept rows: a sample that was taken while reading, as rows that SQL can join to the examples."""

import pyarrow as pa
import pyarrow.dataset as ds

from lakehouse import ops
from lakehouse.home import Home
from lakehouse.recipes import Recipe
from lakehouse.sampling import ADDED, read_sample
from lakehouse.session import connect
from lakehouse.versions import Pin

LEDGER = "ops.sampled_rows"


def write_sampled_rows(
    examples: Pin, *, recipe: Recipe, rates: Pin, home: Home, where: ds.Expression | None = None
) -> int:
    """Write which of the pinned `examples` the recipe keeps, in place of what the ledger held of it; their number.

    Joined to the examples by event_id, the ledger gives the rows and columns that marts.training_examples would have.
    """
    kept = read_sample(examples, recipe=recipe, rates=rates, columns=["event_id", *ADDED], where=where)
    kept = kept.append_column("kept", pa.repeat(True, kept.num_rows))
    kept = kept.append_column("examples", pa.repeat(examples.data_version, kept.num_rows))
    ops.replace(connect(home), LEDGER, kept, home=home, column="recipe", value=recipe.name)
    return kept.num_rows
