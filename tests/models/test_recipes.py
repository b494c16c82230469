"""Recipes that make no sense are refused with the rule and the value; the macros are rendered without dbt."""

import random
from typing import Any

import jinja2
import pytest
import yaml

from lakehouse.home import PROJECT
from lakehouse.recipes import Recipe
from tests.random_recipes import random_recipe

GOOD_RULE: dict[str, Any] = {"name": "busy", "column": "surface", "in": ["home"], "keep": 0.5}
NEW_RULE: dict[str, Any] = {"name": "new", "column": "item_age_days", "at_least": 1, "below": 7.5, "keep": 1.0}
GOOD: dict[str, Any] = {
    "materialised": True,
    "rules": [GOOD_RULE],
    "otherwise": 0.5,
    "random_traffic": {"share": 0.05},
}
MACROS = ("assert_probability", "assert_rule_is_valid", "assert_recipe_is_valid", "assert_recipes_are_valid")


class Exceptions:
    @staticmethod
    def raise_compiler_error(message: str) -> None:
        raise ValueError(message)


def check(recipe: Any, *, in_use: str = "tried") -> None:
    text = "".join((PROJECT / "macros" / f"{name}.sql").read_text() for name in MACROS)
    template = jinja2.Environment(extensions=["jinja2.ext.do"]).from_string(text + "{{ assert_recipes_are_valid() }}")
    variables = {"recipe": in_use, "recipes": {"standard": GOOD, "tried": recipe}}
    template.render(exceptions=Exceptions, var=lambda name: variables[name])


def test_the_recipes_of_the_project_are_accepted() -> None:
    recipes = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]["recipes"]
    assert len(recipes) > 1
    for recipe in recipes.values():
        check(recipe)


@pytest.mark.parametrize(
    "change",
    [
        {"rules": []},
        {"random_traffic": {"share": 0}},
        {"materialised": False},
        {"rules": [GOOD_RULE, NEW_RULE]},
        {"rules": [{"name": "old", "column": "item_age_days", "at_least": 30, "keep": 0.1}]},
        {"rules": [{"name": "drawn", "column": "traffic", "in": ["random", "policy"], "keep": 0.1}]},
    ],
)
def test_a_recipe_with_rules_in_order_is_accepted(change: dict[str, Any]) -> None:
    check(GOOD | change)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"column": "colour"}, "rule 'busy' has column 'colour'; it must be one of user_segment, content_type"),
        ({"keep": 0}, "rule 'busy', keep is 0; it must lie in \\(0, 1\\]"),
        ({"keep": 1.5}, "rule 'busy', keep is 1.5"),
        ({"keep": "half"}, "rule 'busy', keep is half"),
        ({"in": "home"}, "rule 'busy' has in: home; it must be a list"),
        ({"in": []}, "rule 'busy' has in: \\[\\]; it must be a list of at least one value"),
        ({"in": None}, "rule 'busy' has in: None; it must be a list of at least one value"),
        ({"column": "country", "in": [False]}, "rule 'busy' has the value False in its list, which is no text"),
        ({"column": "traffic", "in": ["chance"]}, "rule 'busy' has the value 'chance'; traffic is policy or random"),
        ({"name": "otherwise"}, "rule 'otherwise' has a name that is taken"),
        ({"name": 7}, "rule '7', name is 7; it must be text"),
        ({"weight": 2}, "rule 'busy' has the key 'weight'; on surface it may have in"),
        ({"below": 2}, "rule 'busy' has the key 'below'; on surface it may have in"),
        ({"column": "item_age_days"}, "rule 'busy' has the key 'in'; on item_age_days it may have at_least and below"),
    ],
)
def test_a_rule_that_makes_no_sense_is_named(rule: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"Recipe 'tried', {said}"):
        check({**GOOD, "rules": [GOOD_RULE | rule]})


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"below": "a week"}, "rule 'new', below is a week; it must be a number"),
        ({"at_least": True}, "rule 'new', at_least is True; it must be a number"),
        ({"at_least": 8}, "rule 'new' matches nothing: at_least 8 and below 7.5"),
    ],
)
def test_a_range_that_makes_no_sense_is_named(rule: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"Recipe 'tried', {said}"):
        check({**GOOD, "rules": [NEW_RULE | rule]})


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (None, "Recipe 'tried' does not exist; `recipes` in dbt_project.yml has: standard"),
        ({**GOOD, "rules": None}, "Recipe 'tried' has no list of rules"),
        ({**GOOD, "rules": ["busy"]}, "Recipe 'tried', rule number 1 is busy; it must have name"),
        ({**GOOD, "rules": [GOOD_RULE, GOOD_RULE]}, "Recipe 'tried', rule 'busy' has a name that is taken"),
        ({**GOOD, "rules": [{"name": "busy"}]}, "Recipe 'tried', rule 'busy' lacks 'column'"),
        (
            {**GOOD, "rules": [{"name": "new", "column": "item_age_days", "keep": 1}]},
            "Recipe 'tried', rule 'new' has no condition; give at_least, below or both",
        ),
        ({**GOOD, "otherwise": None}, "Recipe 'tried', otherwise is None"),
        ({**GOOD, "random_traffic": {"share": 1}}, "random_traffic.share is 1; it must lie in \\[0, 1\\)"),
        ({**GOOD, "random_traffic": {}}, "random_traffic.share is None"),
        ({**GOOD, "random_traffic": {"share": 0.1, "days": 1}}, "random_traffic has the key 'days'"),
        ({**GOOD, "random_traffic": {"share": 0.1, "weight": 0}}, "random_traffic.weight is 0; it must lie above 0"),
        ({**GOOD, "seed": 1}, "Recipe 'tried' has the key 'seed'"),
        ({**GOOD, "materialised": "yes"}, "Recipe 'tried', materialised is yes; it must be true or false"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(recipe: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check(recipe)


def test_the_recipe_to_train_on_is_one_of_them() -> None:
    with pytest.raises(ValueError, match="Recipe 'gone' does not exist; `recipes` in"):
        check(GOOD, in_use="gone")


def test_a_definition_reads_the_same_in_sql_and_in_python() -> None:
    text = (PROJECT / "macros" / "recipe_definition.sql").read_text() + "{{ recipe_definition(recipe) }}"
    template = jinja2.Environment(extensions=["jinja2.ext.do"]).from_string(text)
    values = {"surface": ("home", "it's"), "country": ("no", 'a "b" \\'), "traffic": ("policy", "random")}
    contents = [random_recipe(random.Random(seed), values=values, ages=(0, 16)) for seed in range(50)]
    for content in [*contents, {**GOOD, "otherwise": 1, "rules": [NEW_RULE | {"keep": 1}]}]:
        definition = template.render(recipe=content).strip()
        assert definition == Recipe.from_json("tried", content).definition
    assert len({template.render(recipe=content) for content in contents}) == len(contents)
