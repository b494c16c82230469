"""A tenth of the impressions logged, and all that anybody acts on: bytes, and what a model loses by it (20 minutes).

The collector itself decides what is kept, and its own lines are weighed: of a sample of the requests, with as many
features as are served. The model then learns from what it would have kept of four in five requests of simulated worlds,
beside the same model on all of them; both are calibrated on a part of the others, as their logging kept it, and judged
on the rest by the true chances. Random traffic is kept whole either way, and its bytes are stated apart.
"""

import argparse
import json
import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch

from benchmarks._figures import Figure, report
from benchmarks._sampled import Split, by_segment
from benchmarks._simulated import NUMBERS, SPEC, WORDS
from benchmarks._worlds import found_in_worlds
from online.collector.events import read
from online.collector.keeping import Keeper
from online.collector.window import Window
from online.feature_log import FeatureLog, LoggedRequest
from online.random_slice import is_random
from ranker import Examples, calibrate, fit, score
from ranker.metrics import Floats, auc
from simulator.chance import draw
from simulator.population import Asked, Shown
from simulator.world import START, World

EXPOSURES, WEEKS, CLICK_LOG_ODDS = 5_200_000, 2, -3.85
KEPT, RANDOM_SHARE = 0.1, 0.02
# Requests whose lines are weighed.
WEIGHED = 4_000
MOST_BYTES, MOST_AUC_LOST, MOST_WORSE = 0.25, 0.002, 0.02


class Found(TypedDict):
    """Of one world, by logging: the AUC of clicks, its worst segment after calibration, rows learnt from, bytes."""

    aucs: dict[str, float]
    worst: dict[str, float]
    rows: dict[str, int]
    bytes: dict[str, dict[str, int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    found = found_in_worlds(f"hybrid-logging-{EXPOSURES}", one_world, seeds=range(arguments.seeds))
    report("hybrid_logging", figures(found))


def one_world(seed: int) -> Found:
    world = World.draw(exposures=EXPOSURES, weeks=WEEKS, seed=seed, click_log_odds=CLICK_LOG_ODDS)
    weighed = weighed_lines(world)
    split = Split.of(world)
    calibrates_B = draw(split.judged.request_codes, salt="calibrate", seed=seed) < 0.5
    judged = split.judged[~calibrates_B]
    truth = {action: chances[~calibrates_B] for action, chances in split.truth.items()}
    found = Found(aucs={}, worst={}, rows={}, bytes=weighed)
    for name, kept in (("full", 1.0), ("hybrid", KEPT)):
        train = logged(split.train, kept=kept, salt="train", seed=seed)
        model = fit(train, spec=SPEC, seed=seed).model
        rows = logged(split.judged[calibrates_B], kept=kept, salt="calibrate", seed=seed)
        calibrator = calibrate(score(model, rows, position="shown"), rows)
        scores = score(model, judged, position="shown")
        found["aucs"][name] = auc(judged.label("click"), scores.probability("click"))
        found["worst"][name] = worst_segment(calibrator.apply(scores), truth, judged)
        found["rows"][name] = len(train)
        print(
            f"world {seed}, {name}: {len(train):,} rows, AUC {found['aucs'][name]:.4f}, worst segment "
            f"{found['worst'][name]:.4f}",
            flush=True,
        )
    return found


def logged(rows: Examples, *, kept: float, salt: str, seed: int) -> Examples:
    """What the collector keeps of rows, each with what it gives one without an action."""
    keep_B = np.where(rows.random_B.numpy(), 1.0, kept)
    draw_B = draw(np.arange(len(rows)), salt=f"logging/{salt}", seed=seed)
    places = np.flatnonzero((rows.acted_B.numpy() > 0) | (draw_B < keep_B))
    return replace(rows[places], negative_keep_probability_B=torch.from_numpy(keep_B[places]))


def worst_segment(probabilities: dict[str, Floats], truth: dict[str, Floats], judged: Examples) -> float:
    """The largest |PCOC − 1| of clicks in any segment, by true chances."""
    return max(abs(pcoc - 1) for pcoc in by_segment(probabilities["click"], truth["click"], judged).values())


def weighed_lines(world: World) -> dict[str, dict[str, int]]:
    """Bytes of the collector's lines for some requests by logging, of policy and of random traffic."""
    asked = Asked.of(world, START)
    asked = asked.part(slice(min(WEIGHED, len(asked))))
    messages = asked.messages()
    placed = [[one["item"] for one in message["candidates"][: message["limit"]]] for message in messages]
    shown = Shown.of(asked, placed)
    body = b"\n".join(json.dumps(event).encode() for event in shown.events(part=0))
    found: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        log = FeatureLog(Path(folder))
        log.write(map(logged_request, messages))
        for name, kept in (("full", 1.0), ("hybrid", KEPT)):
            keeper = Keeper(log, impressions_kept=kept, random_share=RANDOM_SHARE, window=Window(10_000_000))
            lines = [line for of_stream in keeper.keep(read(body)).lines.values() for line in of_stream]
            sizes = {"policy": 0, "random": 0}
            for line in lines:
                sizes["random" if b'"traffic":"random"' in line else "policy"] += len(line)
            found[name] = sizes
    return found


def logged_request(message: dict[str, Any]) -> LoggedRequest:
    """As a server keeps it: what was placed, of a random request every candidate, with as many features as SPEC has."""
    by_chance = is_random(message["request"], RANDOM_SHARE)
    candidates = message["candidates"] if by_chance else message["candidates"][: message["limit"]]
    chance = random.Random(message["request"])
    of_user = [name for name in (*NUMBERS, *WORDS) if name.startswith(("user", "country", "gender", "surface"))]
    of_item = [name for name in (*NUMBERS, *WORDS) if name not in of_user]

    def value(name: str) -> float | str:
        return chance.choice(WORDS[name]) if name in WORDS else chance.random()

    return LoggedRequest(
        request_id=message["request"],
        user_id=message["user"],
        surface=message["context"]["surface"],
        served_at=message["context"]["at"],
        traffic="random" if by_chance else "policy",
        release_id="2026-03-02-00000000",
        features_as_of="2026-03-02T00:00:00.000Z",
        propensity=1 / len(candidates) if by_chance else None,
        item_ids=[one["item"] for one in candidates],
        positions=[place if place <= message["limit"] else None for place in range(1, len(candidates) + 1)],
        scores=[chance.random() for _ in candidates],
        shared={name: value(name) for name in of_user} | {"user_recent_items": [one["item"] for one in candidates[:5]]},
        features={name: [value(name) for _ in candidates] for name in of_item}
        | {"item_categories": [["art", "film"] for _ in candidates]},
    )


def figures(found: list[Found]) -> list[Figure]:
    """Means over worlds; bytes are summed."""
    weighed = {
        name: {traffic: sum(one["bytes"][name][traffic] for one in found) for traffic in ("policy", "random")}
        for name in ("full", "hybrid")
    }
    aucs, worst = (
        {name: float(np.mean([one[key][name] for one in found])) for name in ("full", "hybrid")}  # type: ignore[literal-required]
        for key in ("aucs", "worst")
    )
    rows = {name: min(one["rows"][name] for one in found) for name in ("full", "hybrid")}
    print(f"learnt from {rows['hybrid']:,} rows, in full {rows['full']:,}")
    share = weighed["hybrid"]["policy"] / weighed["full"]["policy"]
    return [
        Figure(
            figure="bytes landed of policy traffic, baseline all impressions",
            ours=weighed["hybrid"]["policy"],
            baseline=weighed["full"]["policy"],
            goal="≤ 25 %",
            holds=share <= MOST_BYTES,
        ),
        Figure(
            figure="bytes landed of random traffic, whole either way; baseline all impressions of policy traffic",
            ours=weighed["hybrid"]["random"],
            baseline=weighed["full"]["policy"],
            goal="stated",
            holds=weighed["hybrid"]["random"] == weighed["full"]["random"],
        ),
        Figure(
            figure=f"AUC of click, of {rows['full']:,} impressions; baseline all of them logged",
            ours=aucs["hybrid"],
            baseline=aucs["full"],
            goal="≤ .002 lost",
            holds=aucs["full"] - aucs["hybrid"] <= MOST_AUC_LOST,
        ),
        Figure(
            figure="worst segment of clicks after calibration, |PCOC − 1|; baseline all logged",
            ours=worst["hybrid"],
            baseline=worst["full"],
            goal="≤ .02 worse",
            holds=worst["hybrid"] - worst["full"] <= MOST_WORSE,
        ),
    ]


if __name__ == "__main__":
    main()
