"""The macro that assigns users, against decisions/assignment.py on Spark."""

import jinja2
import pytest

from decisions.assignment import arm, canary_salt
from lakehouse.home import PROJECT, Home
from lakehouse.session import connect
from tests.user_ids import USER_IDS

pytestmark = pytest.mark.lake
MACROS = "".join((PROJECT / "macros" / f"{name}.sql").read_text() for name in ("draw_by", "draw", "served_arm", "arm"))


@pytest.mark.parametrize(
    "shares",
    [
        {"canary": 0.01, "control": 0.99},
        {"canary": 1e-05, "control": 1 - 1e-05},
        {"holdout": 0.1, "canary": 0.2, "control": 0.7},
        {"canary": 1.0, "control": 0.0},
    ],
)
def test_spark_assigns_each_user_as_python_does(lake: Home, shares: dict[str, float]) -> None:
    salt = canary_salt("2026-01-05-1")
    sql = jinja2.Template(MACROS + "{{ arm('user_id', salt, shares) }}").render(salt=salt, shares=shares)
    users = connect(lake).createDataFrame([(user,) for user in (None, *USER_IDS)], "user_id string")
    found = {row.user_id: row.arm for row in users.selectExpr("user_id", f"{sql} as arm").collect()}
    assert found == {user: arm(user, salt=salt, shares=shares) for user in (None, *USER_IDS)}
    assert set(found.values()) <= set(shares)
