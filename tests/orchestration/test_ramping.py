"""A release on its way to everybody: brought, looked at, moved by what figures say, and every decision taken again."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from decisions.assignment import arm_of
from lakehouse.home import Home
from online.request_log import RequestRow
from online.server.standing import arms_of
from online.settings import Settings
from orchestration import sensors
from orchestration.rollout import act, bring, decisions, first_share, is_served, look
from registry import Registry, ReleaseError
from tests.registry.conftest import build_release

SETTINGS = replace(
    Settings.load(),
    rollout_shares=(0.1, 0.5, 1),
    rollout_requests=(2_000, 2_000),
    rollout_least_minutes=0,
    engaged_within_minutes=1,
)
WEEKS = ("2026-01-05", "2026-01-12", "2026-01-19")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def registry(home: Home) -> Registry:
    registry = Registry(home.releases)
    registry.promote(saved(registry, WEEKS[0]), expected_version=0, reason="the first")
    return registry


def saved(registry: Registry, week: str) -> str:
    files, lineage = build_release(week, WEEKS.index(week))
    return registry.save(files, lineage=lineage).id


class Traffic:
    """Users who come while the pointer is as it is, and what their answers lead to, by arm."""

    def __init__(self, home: Home, registry: Registry, *, seed: int = 1) -> None:
        self.home, self.registry, self.chance, self.files = home, registry, random.Random(seed), 0

    def serve(self, num_requests: int, *, failing: float = 0.002, engaging: float = 0.2) -> None:
        """`failing` and `engaging` are the canary's rates; control has the defaults'."""
        pointer, now = self.registry.pointer(), datetime.now(UTC)
        arms = arms_of(pointer)
        rows, engaged = [], []
        for number in range(num_requests):
            user = f"u{self.chance.randrange(5_000)}"
            arm = arm_of(user, among=arms)
            is_canary = arm.name == "canary"
            # The last two minutes, the oldest first: all but the last minute's are over.
            at = now - timedelta(seconds=120 * (1 - number / num_requests))
            row = RequestRow(
                request_id=f"{self.files}-{number}",
                user_id=user,
                surface="home",
                served_at=at.isoformat(),
                traffic="policy",
                release_id=arm.release,
                arm=arm.name,
                canary_share=pointer.canary_share if pointer.canary else None,
                pointer_version=pointer.version,
                failed=self.chance.random() < (failing if is_canary else 0.002),
                latency_ms=9.0,
                ranked_ms=self.chance.gammavariate(4, 1),
                num_candidates=20,
                memory_bytes=1,
            )
            rows.append(row)
            if self.chance.random() < (engaging if is_canary else 0.2):
                engaged.append(
                    {"request_id": row.request_id, "engaged_at": at + timedelta(seconds=5), "action": "click"}
                )
        for stream, lines in (("requests", rows), ("engagements", engaged)):
            folder = self.home.landing / stream
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{self.files:03d}.jsonl").write_bytes(
                b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
            )
        self.files += 1


@pytest.fixture
def traffic(home: Home, registry: Registry) -> Traffic:
    """Of before the ramp, so that it is known what is slow."""
    made = Traffic(home, registry)
    made.serve(3_000)
    return made


def step(home: Home, registry: Registry) -> str:
    """Look once, do what follows, and say what that was."""
    decided = look(home=home, registry=registry, settings=SETTINGS, now=datetime.now(UTC))
    assert decided is not None
    assert decided.again() == decided.decision
    act(decided, home=home, registry=registry, settings=SETTINGS)
    return decided.decision.action


def start(home: Home, registry: Registry) -> str:
    canary = saved(registry, WEEKS[1])
    version = registry.pointer().version
    said = bring(canary, home=home, registry=registry, settings=SETTINGS, version=version, reason="the gate passed")
    assert said.startswith(f"{canary} is the canary, at 10%")
    return canary


def test_a_healthy_canary_is_ramped_and_promoted_with_its_holdouts(
    home: Home, registry: Registry, traffic: Traffic
) -> None:
    live, canary = registry.production(), start(home, registry)
    assert step(home, registry) == "hold"  # nothing was served by it yet
    actions: list[str] = []
    while registry.pointer().canary is not None and len(actions) < 40:
        traffic.serve(12_000)
        actions.append(step(home, registry))
    assert [action for action in actions if action != "hold"] == ["ramp", "promote"]
    pointer = registry.pointer()
    assert (pointer.production, pointer.holdout, pointer.long_holdout) == (canary, live, live)
    kept = [one for one in decisions(home, canary) if one.decision.action != "hold"]
    assert [(one.rules.shares[one.state.step], one.decision.action) for one in kept] == [
        (0.1, "ramp"),
        (0.5, "promote"),
    ]
    assert all(one.again() == one.decision for one in decisions(home))
    # Who is held out from the next one is drawn among all users but the long holdout.
    traffic.serve(1_000)


def test_a_canary_that_fails_is_taken_back_while_a_person_holds_it(
    home: Home, registry: Registry, traffic: Traffic
) -> None:
    live, canary = registry.production(), start(home, registry)
    registry.hold_canary(by="Mei", reason="it is Friday")
    traffic.serve(12_000, failing=0.1)
    assert step(home, registry) == "revert"
    assert (registry.production(), registry.pointer().canary) == (live, None)
    assert "errors" in registry.reverted()[canary].reason
    assert registry.teacher() == live
    (exclusion,) = registry.exclusions()
    assert (exclusion.kind, exclusion.release) == ("release", canary)


def test_a_canary_that_people_leave_is_taken_back(home: Home, registry: Registry, traffic: Traffic) -> None:
    canary = start(home, registry)
    traffic.serve(60_000, engaging=0.12)
    assert step(home, registry) == "revert"
    assert "engaged" in registry.reverted()[canary].reason


def test_a_person_holds_a_healthy_one_and_holds_are_kept_once_an_hour(
    home: Home, registry: Registry, traffic: Traffic
) -> None:
    canary = start(home, registry)
    registry.hold_canary(by="Mei", reason="it is Friday")
    traffic.serve(60_000)
    for _ in range(3):
        assert step(home, registry) == "hold"
    (kept,) = decisions(home, canary)
    assert "a person holds it: it is Friday" in kept.decision.reason
    registry.resume_canary(by="Mei", reason="it is Monday")
    assert step(home, registry) == "ramp"


def test_a_decision_is_void_once_the_pointer_has_moved(home: Home, registry: Registry, traffic: Traffic) -> None:
    start(home, registry)
    traffic.serve(60_000)
    decided = look(home=home, registry=registry, settings=SETTINGS, now=datetime.now(UTC))
    assert decided is not None
    assert decided.decision.action == "ramp"
    registry.hold_canary(by="Mei", reason="it is Friday")
    with pytest.raises(ReleaseError, match="judged on pointer version 2, which is now 3"):
        act(decided, home=home, registry=registry, settings=SETTINGS)
    assert registry.pointer().canary_share == 0.1


def test_where_nobody_was_ever_served_a_release_goes_to_all_at_once(home: Home, registry: Registry) -> None:
    assert not is_served(home)
    assert first_share(home, SETTINGS) is None
    second = saved(registry, WEEKS[1])
    assert "in production" in bring(second, home=home, registry=registry, settings=SETTINGS, version=1, reason="passed")
    assert registry.pointer().holdout is None


def test_a_release_that_passes_during_a_ramp_waits(home: Home, registry: Registry, traffic: Traffic) -> None:
    canary = start(home, registry)
    third = saved(registry, WEEKS[2])
    said = bring(third, home=home, registry=registry, settings=SETTINGS, version=2, reason="the gate passed")
    assert f"must wait: {canary} is the canary" in said
    assert registry.pointer().canary == canary
    registry.revert_canary(reason="no")
    said = bring(third, home=home, registry=registry, settings=SETTINGS, version=3, reason="the gate passed")
    assert said.startswith(f"{third} is the canary")


def test_a_share_that_the_settings_do_not_know_says_what_to_do(
    home: Home, registry: Registry, traffic: Traffic
) -> None:
    canary = start(home, registry)
    others = replace(SETTINGS, rollout_shares=(0.2, 1), rollout_requests=(2_000,))
    with pytest.raises(ReleaseError, match=rf"{canary} is at 10%, and rollout_shares of online\.yml are \(0\.2, 1\)"):
        look(home=home, registry=registry, settings=others, now=datetime.now(UTC))


@pytest.fixture
def at_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STILLHOUSE_HOME", str(home.root))
    monkeypatch.setattr(sensors.Settings, "load", lambda: SETTINGS)


@pytest.mark.usefixtures("at_home")
def test_the_sensor_does_what_figures_say_and_tells(home: Home, registry: Registry, traffic: Traffic) -> None:
    import dagster as dg

    def tick() -> str:
        result = sensors.rollout(dg.build_sensor_context())
        assert isinstance(result, dg.SkipReason)
        return str(result.skip_message)

    assert tick() == "there is no canary"
    canary = start(home, registry)
    traffic.serve(60_000)
    assert tick().startswith(f"{canary} goes to 50%")
    assert registry.pointer().canary_share == 0.5
