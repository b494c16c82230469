"""CatBoost; runs in an environment of its own. Arguments: folder, number of seeds (see rows.py)."""

from typing import Any

import catboost
import numpy as np
import pandas as pd
from rows import Rows, choose


def train(rows: Rows, setting: dict[str, Any], seed: int) -> tuple[np.ndarray, np.ndarray]:
    names = [name for name in rows.categorical if setting["ids"] or name not in rows.ids]
    columns = {name: rows.table[name].fillna("").astype(str) for name in names}
    columns |= {name: rows.table[name] for name in rows.numeric}
    columns |= rows.indicators(of_columns=False)
    features = pd.DataFrame(columns)
    first, middle = slice(rows.middle), slice(rows.middle, rows.last)
    model = catboost.CatBoostClassifier(
        iterations=1000,
        learning_rate=0.05,
        depth=setting["depth"],
        random_seed=seed,
        early_stopping_rounds=40,
        thread_count=2,
        verbose=False,
        allow_writing_files=False,
    )
    model.fit(features[first], rows.labels[first], cat_features=names, eval_set=(features[middle], rows.labels[middle]))
    return model.predict_proba(features[middle])[:, 1], model.predict_proba(features[rows.last :])[:, 1]


if __name__ == "__main__":
    choose(
        "catboost",
        {f"depth {depth}{', ids' * ids}": {"depth": depth, "ids": ids} for depth in (4, 6) for ids in (False, True)},
        train,
    )
