"""LightGBM; runs in an environment of its own. Arguments: folder, number of seeds (see rows.py)."""

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
from rows import Rows, choose

SETTINGS = {
    "objective": "binary",
    "learning_rate": 0.03,
    "min_child_samples": 50,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "cat_smooth": 50,
    "num_threads": 2,
    "verbose": -1,
}


def train(rows: Rows, setting: dict[str, Any], seed: int) -> tuple[np.ndarray, np.ndarray]:
    names = [name for name in rows.categorical if setting["ids"] or name not in rows.ids]
    columns = {name: rows.table[name].astype("category") for name in names}
    columns |= {name: rows.table[name] for name in rows.numeric}
    columns |= rows.indicators(of_columns=setting["recent"])
    features = pd.DataFrame(columns)
    first, middle = slice(rows.middle), slice(rows.middle, rows.last)
    data = lightgbm.Dataset(features[first], rows.labels[first])
    model = lightgbm.train(
        {**SETTINGS, "num_leaves": setting["leaves"], "seed": seed},
        data,
        num_boost_round=1000,
        valid_sets=[lightgbm.Dataset(features[middle], rows.labels[middle], reference=data)],
        callbacks=[lightgbm.early_stopping(40, verbose=False)],
    )
    return model.predict(features[middle]), model.predict(features[rows.last :])


if __name__ == "__main__":
    choose(
        "lightgbm",
        {
            f"{leaves} leaves{', ids' * ids}{', recent items' * recent}": {
                "leaves": leaves,
                "ids": ids,
                "recent": recent,
            }
            for leaves in (15, 31)
            for ids, recent in ((False, False), (True, False), (False, True))
        },
        train,
    )
