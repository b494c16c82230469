"""Recipes that make no sense are refused with the rule and the value; the macro is rendered without dbt."""

from typing import Any

import jinja2
import pytest

from lakehouse.home import PROJECT

GOOD_RULE: dict[str, Any] = {"name": "busy", "column": "surface", "in": ["home"], "keep": 0.5}
GOOD: dict[str, Any] = {"rules": [GOOD_RULE], "otherwise": 0.5, "random_traffic": {"share": 0.05}}


class Exceptions:
    @staticmethod
    def raise_compiler_error(message: str) -> None:
        raise ValueError(message)


def check(recipe: Any) -> None:
    text = "".join(
        (PROJECT / "macros" / f"{name}.sql").read_text() for name in ("assert_probability", "assert_recipe_is_valid")
    )
    template = jinja2.Environment(extensions=["jinja2.ext.do"]).from_string(
        text + "{{ assert_recipe_is_valid('tried', recipe) }}"
    )
    template.render(recipe=recipe, exceptions=Exceptions, var=lambda _: {"standard": GOOD})


def test_a_recipe_with_rules_in_order_is_accepted() -> None:
    check(GOOD)
    check({**GOOD, "rules": []})
    check({**GOOD, "random_traffic": {"share": 0}})


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"column": "colour"}, "rule 'busy' has column 'colour'; it must be one of user_segment, content_type"),
        ({"keep": 0}, "rule 'busy', keep is 0; it must lie in \\(0, 1\\]"),
        ({"keep": 1.5}, "rule 'busy', keep is 1.5"),
        ({"keep": "half"}, "rule 'busy', keep is half"),
        ({"in": "home"}, "rule 'busy' has in: home; it must be a list"),
        ({"in": []}, "rule 'busy' has in: \\[\\]; it must be a list of at least one value"),
        ({"name": "otherwise"}, "rule 'otherwise' has a name that is taken"),
        ({"weight": 2}, "rule 'busy' has the key 'weight'"),
    ],
)
def test_a_rule_that_makes_no_sense_is_named(rule: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"Recipe 'tried', {said}"):
        check({**GOOD, "rules": [GOOD_RULE | rule]})


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (None, "does not exist; `recipes` in dbt_project.yml has: standard"),
        ({**GOOD, "rules": None}, "has no list of rules"),
        ({**GOOD, "rules": [GOOD_RULE, GOOD_RULE]}, ", rule 'busy' has a name that is taken"),
        ({**GOOD, "rules": [{"name": "busy"}]}, ", rule 'busy' lacks 'column'"),
        ({**GOOD, "otherwise": None}, ", otherwise is None"),
        ({**GOOD, "random_traffic": {"share": 1}}, ", random_traffic.share is 1; it must lie in \\[0, 1\\)"),
        ({**GOOD, "random_traffic": {}}, ", random_traffic.share is None"),
        ({**GOOD, "seed": 1}, " has the key 'seed'"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(recipe: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check(recipe)
