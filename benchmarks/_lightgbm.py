"""LightGBM on the rows of a folder; runs in the peers' environment, which does not hold this project.

Arguments: folder, number of training rows, first test row, number of seeds, names of the id columns.
Writes the test rows' probabilities to seed-<n>.npy.
"""

import sys
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd

SETTINGS = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 31,
    "min_child_samples": 50,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "cat_smooth": 50,
    "num_threads": 2,
    "verbose": -1,
}


def main(folder: Path, num_train: int, test_from: int, num_seeds: int, ids: list[str]) -> None:
    rows = pd.read_parquet(folder / "rows.parquet")
    labels = rows.pop("(label)")
    runs = {}
    for name, features in (("with ids", rows), ("without ids", rows.drop(columns=ids, errors="ignore"))):
        train = lightgbm.Dataset(features[:num_train], labels[:num_train], free_raw_data=False)
        middle = lightgbm.Dataset(features[num_train:test_from], labels[num_train:test_from], reference=train)
        losses, predictions = [], []
        for seed in range(num_seeds):
            model = lightgbm.train(
                {**SETTINGS, "seed": seed},
                train,
                num_boost_round=1000,
                valid_sets=[middle],
                callbacks=[lightgbm.early_stopping(40, verbose=False)],
            )
            losses.append(model.best_score["valid_0"]["binary_logloss"])
            predictions.append(model.predict(features[test_from:]))
        runs[float(np.mean(losses))] = predictions
        print(f"LightGBM {name}: log loss {np.mean(losses):.4f} on the middle part", flush=True)
    for seed, predicted in enumerate(runs[min(runs)]):
        np.save(folder / f"seed-{seed}.npy", predicted)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5].split(","))
