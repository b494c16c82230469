"""Who ranks: the logging policy of the simulated service, and chance on the random slice.

Shapes: R requests, K candidates of a request.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.chance import generator
from simulator.traffic import Requests
from simulator.world import START, World


@dataclass(frozen=True)
class Policy:
    """A scorer, and the release that it is (None where it is no release).

    `score` takes the world and a day of requests and returns one score per candidate, (R, K); the highest comes first.
    Any ranker fits: what the service knew is in `Requests` (user, surface, time, candidates, logged affinity).
    A scorer must not look at the hidden parts of the world, only at its attributes.
    """

    score: Callable[[World, Requests], NDArray[np.float64]]
    release_id: str | None = None


def noisy_renown(world: World, requests: Requests) -> NDArray[np.float64]:
    """How a service ranks before it has a ranker: by what is known to be popular and what it believes of liking,
    with Gumbel noise, so that every candidate is placed now and then."""
    chance = generator(world.seed, "policy", (requests.day - START).days)
    noise_RK = chance.gumbel(0, 0.6, requests.item_RK.shape)
    return world.items.renown_I[requests.item_RK] + np.nan_to_num(requests.affinity_RK) + noise_RK


NOISY_RENOWN = Policy(noisy_renown)


def rank(world: World, requests: Requests, score_RK: NDArray[np.float64]) -> NDArray[np.int64]:
    """The candidates of each request from first to last, (R, K): by score, or uniformly at random on the random slice.

    Raises ValueError if the scores have another shape or are not finite.
    """
    if score_RK.shape != requests.item_RK.shape or not np.isfinite(score_RK).all():
        raise ValueError(
            f"score has shape {score_RK.shape}, finite: {np.isfinite(score_RK).all()}; "
            f"it must be finite and of shape {requests.item_RK.shape}"
        )
    chance = generator(world.seed, "random ranking", (requests.day - START).days)
    uniform_RK = chance.random(score_RK.shape)
    return np.where(requests.random_R[:, None], -uniform_RK, -score_RK).argsort(axis=1, kind="stable")
