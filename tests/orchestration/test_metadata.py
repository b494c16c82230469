"""What the Dagster UI shows: every asset described and owned, and of an evaluation what decides first."""

from pathlib import Path

import dagster as dg
import pytest

from decisions.criterion import Criterion, judge
from orchestration.metadata import gate_check, of_evaluation
from orchestration.retrain import Evaluation
from registry import Input

SOURCE = Input(relation="marts.examples_v1", path="", table_id="4f5e", version=3, rows=900, content_hash="ab")
CRITERIA = [
    Criterion(name="click: AUC", status="pass", figure=0.7, lower=0.69, upper=0.71, limit=0.52, reason="clears .52"),
    Criterion(name="click: churn", status="needs-a-person", reason="a | b above .35"),
]
JUDGED = Evaluation(
    release="1998-01-05-0a1b2c3d",
    partition="1998-01-05",
    decision=judge(CRITERIA),
    pointer_version=1,
    metrics={
        "rows": 900,
        "summary": {"auc": 0.123456789, "churn": 0.2},
        "production": {"summary": {"auc": 0.7, "churn": None}},
        "control": {"summary": {"auc": 0.6, "churn": 0.3}},
        "robustness": [
            {"group": "age | sex", "action": "click", "auc_lost": 0.01, "log_loss_gained": 0.002, "pcoc": None}
        ],
    },
    pictures={"segments.png": b"\x89PNG"},
    teacher=None,
    inputs=(SOURCE,),
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path))
    return tmp_path


def test_an_evaluation_shows_the_verdict_and_the_card_before_its_figures(home: Path) -> None:
    shown = of_evaluation(JUDGED)
    assert list(shown)[:4] == ["release", "verdict", "reason", "card"]
    assert shown["card"].path == str(home / "releases" / JUDGED.release / "card.html")
    assert (shown["auc"], shown["auc_of_production"], shown["auc_without_teacher"]) == (0.123457, 0.7, 0.6)
    # Production has no churn against itself.
    assert "churn_of_production" not in shown
    assert shown["inputs"].value.splitlines()[-1] == "| marts.examples_v1 | 900 | 3 | 4f5e | ab |"
    assert shown["without_a_feature"].value.splitlines()[-1] == "| age \\| sex | click | 0.0100 | 0.0020 | – |"


def test_the_gate_s_table_begins_with_what_speaks_against_the_release() -> None:
    check = gate_check(JUDGED)
    assert not check.passed
    table = check.metadata["criteria"]
    assert isinstance(table, dg.TableMetadataValue)
    rows = [record.data for record in table.records]
    assert [row["criterion"] for row in rows] == ["click: churn", "click: AUC"]
    assert rows[0]["reason"] == "a | b above .35"
    assert (rows[1]["figure"], rows[1]["limit"]) == ("0.7", "0.52")


def test_every_asset_is_described_grouped_owned_and_of_a_kind() -> None:
    from orchestration.definitions import defs

    specs = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
    for name, spec in specs.items():
        assert spec.description, name
        assert spec.group_name != "default", name
        assert spec.owners, name
        assert spec.kinds, name
    assert "deltalake" in specs["marts/examples_v1"].kinds
    assert "deltalake" not in specs["marts/examples"].kinds
