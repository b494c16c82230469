"""Sampling recipes as dbt_project.yml states them: rules in order, each with a keep probability."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakehouse.home import PROJECT
from lakehouse.variables import variables

RANDOM_TRAFFIC = "random_traffic"
OTHERWISE = "otherwise"
CATEGORIES = ("user_segment", "content_type", "surface", "country", "gender", "traffic")
RANGES = ("item_age_days",)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One condition on one column, and how likely a row that meets it is kept if nobody acted on it.

    Of `values`, `at_least` and `below` either the first is given or at least one of the others. A null value of the
    column meets no condition.
    """

    name: str
    column: str
    keep: float
    values: tuple[str, ...] | None = None
    at_least: float | None = None
    below: float | None = None

    @property
    def claims_random_traffic(self) -> bool:
        return self.column == "traffic" and "random" in (self.values or ())

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Rule":
        values = content.get("in")
        return cls(
            name=str(content["name"]),
            column=content["column"],
            keep=float(content["keep"]),
            values=None if values is None else tuple(str(value) for value in values),
            at_least=content.get("at_least"),
            below=content.get("below"),
        )

    def to_json(self) -> dict[str, Any]:
        condition: dict[str, Any] = {"in": list(self.values)} if self.values is not None else {}
        bounds = {"at_least": self.at_least, "below": self.below}
        condition |= {name: bound for name, bound in bounds.items() if bound is not None}
        return {"name": self.name, "column": self.column, **condition, "keep": self.keep}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A named recipe. `materialised`: its rows stand in marts.training_examples, else they are sampled while reading.

    dbt refuses a recipe that makes no sense (macros/assert_recipe_is_valid.sql) before anything is built by it; here
    only what would be misread is refused.
    """

    name: str
    materialised: bool
    rules: tuple[Rule, ...]
    otherwise: float
    random_share: float
    random_weight: float = 1.0

    def __post_init__(self) -> None:
        for rule in self.rules:
            where = f"recipe {self.name!r}, rule {rule.name!r}"
            allowed = CATEGORIES if rule.values is not None else RANGES
            if rule.column not in allowed:
                raise ValueError(f"{where} has column {rule.column!r}; for its condition it must be one of {allowed}")
            if (rule.values is None) == (rule.at_least is None and rule.below is None):
                raise ValueError(f"{where} must have either in, or at_least or below")
        for stratum, keep in self.keeps.items():
            if not 0 < keep <= 1:
                raise ValueError(f"recipe {self.name!r}, {stratum!r} keeps {keep}; it must lie in (0, 1]")
        if not 0 <= self.random_share < 1:
            raise ValueError(f"recipe {self.name!r} has a random share of {self.random_share}; it must lie in [0, 1)")
        if not self.random_weight > 0:
            raise ValueError(f"recipe {self.name!r} has a random weight of {self.random_weight}; it must lie above 0")
        if len({*self.strata}) < len(self.strata):
            raise ValueError(f"recipe {self.name!r} has two strata of one name among {self.strata}")

    @property
    def keeps(self) -> dict[str, float]:
        """Keep probability by stratum, of those that the recipe itself states: all but random traffic."""
        return {rule.name: rule.keep for rule in self.rules} | {OTHERWISE: self.otherwise}

    @property
    def strata(self) -> tuple[str, ...]:
        """Every stratum that a row can be in."""
        return (*(rule.name for rule in self.rules), OTHERWISE, RANDOM_TRAFFIC)

    @property
    def definition(self) -> str:
        """As text, what decides which rows it keeps: all but its name, whether it is materialised, and what rows weigh.

        macros/recipe_definition.sql writes the same into marts.sampling_rates.
        """
        rules = [
            [
                rule.name,
                rule.column,
                None if rule.values is None else list(rule.values),
                None if rule.at_least is None else float(rule.at_least),
                None if rule.below is None else float(rule.below),
                float(rule.keep),
            ]
            for rule in self.rules
        ]
        return str([rules, float(self.otherwise), float(self.random_share)])

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of an example that decide its stratum."""
        return tuple(sorted({"traffic", "user_slice", *(rule.column for rule in self.rules)}))

    @classmethod
    def from_json(cls, name: str, content: Mapping[str, Any]) -> "Recipe":
        """`content` as under `vars: recipes`. Raises ValueError, naming recipe and rule, if it cannot be applied."""
        try:
            return cls(
                name=name,
                materialised=content["materialised"],
                rules=tuple(Rule.from_json(rule) for rule in content["rules"]),
                otherwise=float(content["otherwise"]),
                random_share=float(content["random_traffic"]["share"]),
                random_weight=float(content["random_traffic"].get("weight", 1)),
            )
        except KeyError as error:
            raise ValueError(f"recipe {name!r} lacks {error} in it or in one of its rules") from None

    def to_json(self) -> dict[str, Any]:
        return {
            "materialised": self.materialised,
            "rules": [rule.to_json() for rule in self.rules],
            "otherwise": self.otherwise,
            "random_traffic": {"share": self.random_share, "weight": self.random_weight},
        }


def recipes(project: Path = PROJECT) -> dict[str, Recipe]:
    """All recipes of dbt_project.yml by name."""
    return {name: Recipe.from_json(name, content) for name, content in variables(project)["recipes"].items()}


def recipe(name: str | None = None, *, project: Path = PROJECT) -> Recipe:
    """The recipe `name`, or the one that the ranker trains on by default (var `recipe`).

    Raises ValueError if there is none of that name.
    """
    known, name = recipes(project), name or str(variables(project)["recipe"])
    if name not in known:
        raise ValueError(f"recipe is {name!r}; `recipes` in dbt_project.yml has {sorted(known)}")
    return known[name]
