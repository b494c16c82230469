"""Recipes at random over the values that a table holds, as they stand under `vars: recipes`."""

import random
from collections.abc import Mapping, Sequence
from typing import Any


def random_recipe(
    chance: random.Random, *, values: Mapping[str, Sequence[str]], ages: tuple[float, float]
) -> dict[str, Any]:
    """Up to five rules on columns of `values` or on item_age_days between the `ages`, and a share of random traffic.

    Many rules keep next to nothing, or all.
    """

    def keep() -> float:
        return chance.choice((0.01, 0.02, 0.1, 0.3, 0.5, 0.9, 1.0, chance.uniform(0.001, 1)))

    rules: list[dict[str, Any]] = []
    for number in range(chance.randrange(6)):
        rule: dict[str, Any] = {"name": f"rule {number}, it's", "keep": keep()}
        column = chance.choice((*values, "item_age_days"))
        if column == "item_age_days":
            low, high = sorted((chance.uniform(*ages), chance.uniform(*ages)))
            bounds = [{"at_least": low}, {"below": high}, {"at_least": low, "below": high}]
            rule |= {"column": column, **chance.choice(bounds)}
        else:
            known = [*values[column], "never seen"] if column != "traffic" else values[column]
            rule |= {"column": column, "in": chance.sample(known, chance.randint(1, len(known)))}
        rules.append(rule)
    return {
        "materialised": chance.random() < 0.5,
        "rules": rules,
        "otherwise": keep(),
        "random_traffic": {"share": chance.choice((0, 0.02, 0.2, 0.5, 0.9))},
    }
