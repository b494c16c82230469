"""The users of the simulated world as a ranking service meets them: they ask, see what is placed, and act.

Unlike `simulate`, which ranks by itself and lands what came of it, this asks whoever answers, and reports events as a
client does. Who comes when, for which candidates, follows from the world's seed; what they do also from the order that
they were shown.

Shapes: R requests, K candidates of a request, N shown rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lakehouse.dataset import ACTIONS
from simulator.behaviour import Situation, act, if_seen
from simulator.chance import generator
from simulator.files import iso
from simulator.simulate import delays, moods, rivals
from simulator.traffic import Requests, requests_of
from simulator.world import START, SURFACES, World, examination


@dataclass(frozen=True)
class Asked:
    """Requests of one day, a part of them or all, in the order in which they come."""

    world: World
    requests: Requests
    names_R: Sequence[str]

    @classmethod
    def of(cls, world: World, day: date) -> "Asked":
        requests = requests_of(world, day)
        names = [f"live{world.seed}-{day:%y%m%d}-{number:06x}" for number in range(len(requests.number_R))]
        return cls(world, requests, names)

    def __len__(self) -> int:
        return len(self.names_R)

    def part(self, rows: slice) -> "Asked":
        of_requests: dict[str, Any] = {
            name: value[rows] for name, value in vars(self.requests).items() if isinstance(value, np.ndarray)
        }
        return Asked(self.world, replace(self.requests, **of_requests), self.names_R[rows])

    def messages(self) -> list[dict[str, Any]]:
        """What the service's frontend sends for each; the affinity is what it knows of liking."""
        requests = self.requests
        surfaces = [SURFACES[surface] for surface in requests.surface_R.tolist()]
        return [
            {
                "request": name,
                "user": f"u{user}",
                "context": {"surface": surface.name, "at": served_at(served_ms)},
                "candidates": [
                    {"item": f"i{item}", "features": {"affinity": None if affinity != affinity else affinity}}
                    for item, affinity in zip(items, affinities, strict=True)
                ],
                "limit": surface.slots,
            }
            for name, user, surface, served_ms, items, affinities in zip(
                self.names_R,
                requests.user_R.tolist(),
                surfaces,
                requests.served_ms_R.tolist(),
                requests.item_RK.tolist(),
                requests.affinity_RK.tolist(),
                strict=True,
            )
        ]


@dataclass(frozen=True)
class Shown:
    """What was placed before whom, and what they would do: request_N indexes the requests, position_N counts from 1."""

    asked: Asked
    request_N: NDArray[np.int64]
    item_N: NDArray[np.int64]
    position_N: NDArray[np.int64]
    examination_N: NDArray[np.float64]
    if_seen_N: Mapping[str, NDArray[np.float64]]

    @classmethod
    def of(cls, asked: Asked, placed: Sequence[Sequence[str]]) -> "Shown":
        """`placed`: of each request the items in their places."""
        requests, world = asked.requests, asked.world
        request_N = np.repeat(np.arange(len(placed)), [len(items) for items in placed])
        item_N = np.array([int(item[1:]) for items in placed for item in items], dtype=np.int64)
        position_N = np.concatenate([np.arange(1, len(items) + 1) for items in placed])
        _, mood_U = moods(world, requests.day)
        user_N = requests.user_R[request_N]
        situation = Situation(
            week=requests.week,
            weekend=requests.day.weekday() >= 5,
            user_N=user_N,
            item_N=item_N,
            served_N=requests.served_ms_R[request_N] / 1_000,
            hour_N=requests.hour_R[request_N],
            mood_N=mood_U[user_N],
            rivals_N=rivals(world, requests)[request_N, world.items.category_I[item_N]],
        )
        return cls(
            asked=asked,
            request_N=request_N,
            item_N=item_N,
            position_N=position_N,
            examination_N=examination(requests.surface_R[request_N], position_N),
            if_seen_N=if_seen(world, situation),
        )

    def expected_R(self, action: str) -> NDArray[np.float64]:
        """How many of an action each request leads to on average: the truth that an experiment estimates."""
        probability_N = self.examination_N * self.if_seen_N[action]
        return np.bincount(self.request_N, weights=probability_N, minlength=len(self.asked)).astype(np.float64)

    def events(self, *, part: int) -> list[dict[str, Any]]:
        """What the frontend reports: an impression for each item that was placed, and each action.

        `part` numbers the parts of a day, so that each draws for itself.
        """
        requests, names_R = self.asked.requests, self.asked.names_R
        chance = generator(self.asked.world.seed, "live acts", (requests.day - START).days, part)
        acted_N = act(self.if_seen_N, self.examination_N, chance)
        delay_ms_N = delays(len(self.item_N), chance)
        served_ms_N = requests.served_ms_R[self.request_N]
        events = []
        for row, (request, item, position, served_ms) in enumerate(
            zip(
                self.request_N.tolist(),
                self.item_N.tolist(),
                self.position_N.tolist(),
                served_ms_N.tolist(),
                strict=True,
            )
        ):
            about = {"request_id": names_R[request], "item_id": f"i{item}"}
            name = f"{names_R[request]}-{position:02d}"
            events.append(
                about
                | {"type": "impression", "event_id": name, "seen_at": served_at(served_ms + 500), "position": position}
            )
            for action in ACTIONS:
                if acted_N[action][row]:
                    delay_ms = int(delay_ms_N[action][row])
                    events.append(
                        about
                        | {
                            "type": "engagement",
                            "event_id": f"{name}-{action}",
                            "action": action,
                            "engaged_at": served_at(served_ms + delay_ms),
                            "value": delay_ms / 1_000 if action == "long_click" else None,
                        }
                    )
        return events


def served_at(epoch_ms: int) -> str:
    return iso(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=epoch_ms))
