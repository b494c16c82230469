"""100 promotions and 100 reverts under load: none fails, no answer mixes two, a revert is soon there (10 minutes).

Two rankers that were trained apart take turns; each promotion is of a new release, each revert goes back to the first.
Every client asks the same, so the right probabilities of each ranker are known: an answer that names a release and has
another's probabilities is mixed. A revert has reached everybody with the last answer of the release that was taken
back, counted from when `stillhouse revert` would return. The baseline of that is how long a server takes to start.
"""

import argparse
import asyncio
import json
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks._figures import FOLDER, Figure, report
from benchmarks._http_load import Load, Reply
from lakehouse.home import Home
from orchestration.live.services import service
from registry import Artifact, Registry
from tests.online import small_service

RATE, CANDIDATES = 30.0, 100
GOAL_S = 2.0
# A change stands so long before the next one: each must be noticed, loaded and asked for.
STANDS_S = 1.5
BODY = json.dumps(
    {
        "request": "r1",
        "user": "u1",
        "context": {"surface": "home", "at": small_service.AS_OF.isoformat()},
        "candidates": [{"item": f"i{number}", "features": {"affinity": number / 50}} for number in range(CANDIDATES)],
    }
).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="promotions, and as many reverts")
    arguments = parser.parse_args()
    folder = FOLDER / "hot-swap"
    shutil.rmtree(folder, ignore_errors=True)
    home = Home((folder / "home").resolve())
    small_service.publish_states(home)
    first = small_service.release(home, seed=1)
    second = small_service.release(home, seed=2, promote=False)
    registry = Registry(home.releases)
    began = time.monotonic()
    with service(home, "serve") as (port, _):
        start_s = time.monotonic() - began
        replies, reverts = asyncio.run(swapped(port, registry, first, second, rounds=arguments.rounds))
    report("hot_swap", figures(replies, reverts, start_s=start_s))
    shutil.rmtree(folder)


async def swapped(
    port: int, registry: Registry, first: str, second: str, *, rounds: int
) -> tuple[list[Reply], list[tuple[str, float]]]:
    """All answers, and of each revert which release it took back and when it was done."""
    client = Load(port, "/v1/rank")
    seconds = 2 * rounds * STANDS_S + 2
    asking = asyncio.create_task(client.poisson(lambda _: BODY, rate=RATE, seconds=seconds, seed=1))
    reverts = []
    for number in range(rounds):
        new = again(registry, first if number % 2 else second, number)
        version = registry.pointer().version
        await asyncio.to_thread(registry.promote, new, expected_version=version, reason="the benchmark")
        await asyncio.sleep(STANDS_S)
        await asyncio.to_thread(registry.revert, to=first, reason="the benchmark")
        reverts.append((new, time.monotonic()))
        await asyncio.sleep(STANDS_S)
        if (number + 1) % 10 == 0:
            print(f"{number + 1} promotions and reverts", flush=True)
    replies = await asking
    client.close()
    return replies, reverts


def again(registry: Registry, release: str, number: int) -> str:
    """The same ranker as another release."""
    artifact: Artifact = registry.load(release)
    files = {name: content for name, content in artifact.files.items() if name != "lineage.json"}
    seeds = {"training": 1_000 + number}
    return registry.save(files, lineage=replace(artifact.lineage, seeds=seeds)).id


def figures(replies: Sequence[Reply], reverts: Sequence[tuple[str, float]], *, start_s: float) -> list[Figure]:
    answers = [(one, json.loads(one.body)) for one in replies if one.status == 200]
    failed = len(replies) - len(answers)
    kinds = {(answer["release"], fingerprint(answer)) for _, answer in answers}
    releases = {release for release, _ in kinds}
    prints = {value for _, value in kinds}
    mixed = len(kinds) - len(releases)
    delays = [
        max(
            (one.done_s - at for one, answer in answers if answer["release"] == release and one.done_s > at),
            default=0.0,
        )
        for release, at in reverts
    ]
    p99_s = float(np.quantile(delays, 0.99))
    print(
        f"{len(answers):,} answers of {len(releases)} releases and {len(prints)} rankers; slowest reverts: "
        f"{sorted(delays)[-3:]}; statuses: {Counter(one.status for one in replies)}"
    )
    return [
        Figure(
            figure=f"requests that failed in {len(reverts)} promotions and reverts, of baseline sent",
            ours=failed,
            baseline=len(replies),
            goal="0",
            holds=failed == 0,
        ),
        Figure(
            figure="releases that answered with more than one ranker's probabilities, of baseline that answered",
            ours=mixed,
            baseline=len(releases),
            goal="0",
            holds=mixed == 0 and len(prints) == 2 and len(releases) == len(reverts) + 1,
        ),
        Figure(
            figure="seconds until the last answer of a release taken back, p99; baseline a server's start",
            ours=p99_s,
            baseline=start_s,
            goal=f"≤ {GOAL_S:.0f}",
            holds=p99_s <= GOAL_S,
        ),
    ]


def fingerprint(answer: dict) -> tuple[float, ...]:
    """An answer's probabilities by item, less what another batch changes in the last digits."""
    by_item = sorted((one["item"], one["probabilities"]["click"]) for one in answer["ranked"])
    return tuple(round(probability, 4) for _, probability in by_item)


if __name__ == "__main__":
    main()
