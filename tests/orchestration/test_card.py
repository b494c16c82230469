"""The card of releases that were trained, judged and saved on small tables."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from decisions.criterion import STATUSES
from lakehouse.home import Home
from orchestration.card import CARD, card
from orchestration.plan import Plan
from orchestration.retrain import as_json, calibrate_pair, evaluate_pair, train
from ranker import FeatureSpec
from registry import Artifact, Registry
from tests.orchestration.small_releases import DATASET, RECIPE, SPEC, examples, write
from tests.registry.conftest import build_release

HOSTILE = "<script>alert('x')</script>\" onload=\"alert(1)"
WITH_SEGMENTS = FeatureSpec.from_json({**SPEC.to_json(), "segments": ["user_segment"]})


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def segmented(home: Home) -> Plan:
    """The plan of a student without a teacher, on examples whose segment is a word that would be markup."""
    table = examples(seed=0)
    table = table.append_column("user_segment", pa.array([HOSTILE, "plain"] * (table.num_rows // 2)))
    sampled = table.append_column("negative_keep_probability", pa.array([0.5] * table.num_rows))
    sampled = sampled.append_column("recipe", pa.array([RECIPE.name] * table.num_rows))
    return Plan(
        partition="2026-01-19",
        dataset=DATASET,
        spec=WITH_SEGMENTS,
        recipe=RECIPE,
        sampling=write(home, "marts.training_examples", sampled),
        examples=write(home, "marts.examples_v1", table),
        teacher=None,
        teacher_scores=None,
    )


def made(plan: Plan, home: Home, registry: Registry) -> Artifact:
    judged = evaluate_pair(calibrate_pair(train(plan, home=home)), registry=registry)
    return registry.load(judged.release)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Artifact]:
    """A first release, and its student a week later."""
    home = Home(Path(tmp_path_factory.mktemp("cards")))
    registry = Registry(home.releases)
    plan = segmented(home)
    first = made(plan, home, registry)
    events = examples(seed=0)["event_id"]
    scores = pa.table(
        {
            "release_id": [first.id] * len(events),
            "event_id": events,
            "logits": pa.array(
                [[(head, chance) for head in ("acted", "click")] for chance in np.linspace(-1, 1, len(events))],
                pa.map_(pa.string(), pa.float64()),
            ),
        }
    )
    pinned = write(home, "ops.teacher_scores", scores, partition_by=["release_id"])
    return first, made(replace(plan, partition="2026-01-26", teacher=first.id, teacher_scores=pinned), home, registry)


def test_it_holds_the_verdict_every_criterion_and_every_input(two: tuple[Artifact, Artifact]) -> None:
    for release in two:
        shown = Page(release.files[CARD]).text
        decision = release.json("gate.json")
        assert f"Release of the week of {release.lineage.partition} : {decision['verdict']}" in shown
        assert " ".join(decision["reason"].split()) in shown
        assert len(decision["criteria"]) > 10
        for criterion in decision["criteria"]:
            assert f"{criterion['name']} {criterion['reason']}" in shown
        for source in release.lineage.inputs:
            assert f"{source.table_id} {source.version} {source.content_hash}" in shown
        assert {source.relation for source in release.lineage.inputs} <= set(shown.split())


def test_what_speaks_against_it_is_read_first(two: tuple[Artifact, Artifact]) -> None:
    statuses = [
        attributes["class"]
        for tag, attributes in Page(two[1].files[CARD]).tags
        if tag == "td" and str(attributes.get("class")).startswith("status")
    ]
    order = ["status block", "status needs-a-person", "status pass", "status not applicable"]
    assert statuses == sorted(statuses, key=lambda one: order.index(str(one)))
    assert len({*statuses}) > 2


def test_the_student_stands_beside_production_and_its_control(two: tuple[Artifact, Artifact]) -> None:
    first, student = two
    metrics = student.json("metrics.json")
    values = [side["actions"]["click"]["log_loss"] for side in (metrics, metrics["production"], metrics["control"])]
    assert len({*values}) == 3
    shown = Page(student.files[CARD]).text
    assert "figure candidate production no teacher" in shown
    assert "log loss " + " ".join(f"{value:.4f}" for value in values) in shown
    assert f"learnt from the next: {first.id}" in shown
    alone = Page(first.files[CARD]).text
    assert "trained without a teacher" in alone
    assert "no teacher candidate" not in alone


def test_nothing_is_asked_of_a_network_and_every_picture_is_in_words_too(two: tuple[Artifact, Artifact]) -> None:
    for release in two:
        page = Page(release.files[CARD])
        for tag, attributes in page.tags:
            assert tag not in ("script", "link", "iframe", "object", "base")
            for name in ("src", "href", "srcset", "action", "data"):
                assert str(attributes.get(name) or "data:").startswith(("data:image/png;base64,", "data:", "#"))
        drawn = [attributes for tag, attributes in page.tags if tag == "img"]
        assert len(drawn) == sum(name.endswith(".png") for name in release.files) > 1
        assert all(len(str(attributes["alt"])) > 20 for attributes in drawn)
        assert "url(" not in release.files[CARD].decode()
        assert "@import" not in release.files[CARD].decode()


def test_what_a_log_says_is_never_markup(two: tuple[Artifact, Artifact]) -> None:
    page = Page(two[1].files[CARD])
    assert f"user_segment={HOSTILE}" in page.text
    assert not [tag for tag, attributes in page.tags if tag == "script" or "onload" in attributes]


def test_it_can_be_made_again_from_the_other_files(two: tuple[Artifact, Artifact]) -> None:
    first, student = two
    for release in (first, student):
        assert card(release.files, lineage=release.lineage) == release.files[CARD]
        bare = {name: content for name, content in release.files.items() if name != CARD}
        assert card(bare, lineage=release.lineage) == release.files[CARD]


def test_a_picture_that_nobody_foresaw_is_shown_by_its_name(two: tuple[Artifact, Artifact]) -> None:
    first = two[0]
    files = {**first.files, "off_policy.png": first.files["loss_curve.png"]}
    assert "Off policy." in Page(card(files, lineage=first.lineage)).text


def test_a_release_that_was_never_judged_has_a_card_too() -> None:
    files, lineage = build_release()
    shown = Page(card(files, lineage=lineage)).text
    assert "not judged" in shown
    assert lineage.inputs[0].content_hash in shown


def test_a_criterion_that_warns_stands_behind_what_refuses_and_before_what_passes() -> None:
    files, lineage = build_release()
    asked = {"figure": None, "lower": None, "upper": None, "limit": None}
    criteria = [
        {**asked, "name": f"of {status}", "status": status, "reason": f"because {status}"} for status in STATUSES[::-1]
    ]
    files["gate.json"] = as_json({"verdict": "block", "reason": "because", "criteria": criteria})
    shown = Page(card(files, lineage=lineage)).text
    places = [shown.index(f"because {status}") for status in STATUSES]
    assert places == sorted(places)
