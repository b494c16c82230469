"""The contract of the logs at hand: which actions and which traffic they hold, and over which days."""

import json
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args

ACTIONS = ("click", "long_click", "save", "hide")
Cadence = Literal["daily", "three-daily", "weekly", "bi-weekly", "monthly"]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What whoever writes the landing files promises about them.

    What is declared absent (a random slice, positions) is not asked for later; what is declared and missing blocks.
    `last_day` is None for a log that goes on. `calibration_days` and `evaluation_days` say how much traffic
    it takes to fit a calibrator and to tell two models apart: a quiet log needs more days than a busy one.
    `cadence` says how often its ranker is retrained.
    """

    name: str
    actions: tuple[str, ...]
    random_slice: bool
    positions: bool
    first_day: date
    last_day: date | None
    calibration_days: int
    evaluation_days: int
    source: str
    # A week has every weekday once; what other rhythms gain and cost: `make bench NAME=cadence`.
    cadence: Cadence = "weekly"

    def __post_init__(self) -> None:
        unknown = set(self.actions) - set(ACTIONS)
        if unknown or not self.actions:
            raise ValueError(f"actions is {self.actions}; it must name at least one of {ACTIONS} and nothing else")
        for name in ("calibration_days", "evaluation_days"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.cadence not in get_args(Cadence):
            raise ValueError(f"cadence is {self.cadence!r}; it must be one of {get_args(Cadence)}")
        if self.last_day is not None and self.last_day < self.first_day:
            raise ValueError(f"last_day {self.last_day} lies before first_day {self.first_day}")

    def to_json(self) -> dict[str, Any]:
        return {name: value.isoformat() if isinstance(value, date) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Dataset":
        expected = {field.name for field in fields(cls)}
        if set(content) | {"cadence"} != expected:
            raise ValueError(f"a data set contract holds exactly the keys {sorted(expected)}, not {sorted(content)}")
        first_day, last_day = content["first_day"], content["last_day"]
        return cls(
            **content
            | {
                "actions": tuple(content["actions"]),
                "first_day": date.fromisoformat(first_day),
                "last_day": last_day and date.fromisoformat(last_day),
            }
        )

    def save(self, landing: Path) -> None:
        landing.mkdir(parents=True, exist_ok=True)
        (landing / "dataset.json").write_text(json.dumps(self.to_json(), indent=2) + "\n")

    @classmethod
    def load(cls, landing: Path) -> "Dataset":
        path = landing / "dataset.json"
        if not path.exists():
            raise FileNotFoundError(
                f"{path} is missing: it says which actions and traffic the logs hold. "
                "`stillhouse fetch` and `stillhouse simulate` write it; for your own logs see docs/landing.md."
            )
        try:
            return cls.from_json(json.loads(path.read_text()))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
