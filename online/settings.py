"""What online.yml says, checked."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

from decisions.rollout import RolloutRules
from lakehouse.dataset import ACTIONS
from lakehouse.home import PROJECT, home
from registry import Holdouts

FILE = PROJECT / "online.yml"
# What a service sends that names somebody or something, as landing rows call it.
FIELDS = ("user_id", "item_id", "request_id", "event_id")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The knobs of the online half; online.yml explains each. Raises ValueError for one out of its range."""

    utility: Mapping[str, float]
    brought: tuple[str, ...]
    random_share: float
    most_candidates: int
    rollout_shares: tuple[float, ...]
    rollout_requests: tuple[int, ...]
    rollout_least_minutes: float
    engaged_within_minutes: float
    holdout_share: float
    long_holdout_share: float
    impressions_kept: float
    duplicate_window: int
    feature_log_hours: int
    hashed: tuple[str, ...]

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.utility) - set(ACTIONS)):
            raise ValueError(f"utility names {unknown}; actions are {ACTIONS}")
        if not self.utility or not all(isfinite(weight) for weight in self.utility.values()):
            raise ValueError(f"utility is {dict(self.utility)}; it must give at least one action a finite weight")
        if not 0 <= self.random_share < 1:
            raise ValueError(f"random_share is {self.random_share}; it must lie in [0, 1)")
        if not 1 <= self.most_candidates <= 10_000:
            raise ValueError(f"most_candidates is {self.most_candidates}; it must lie in [1, 10,000]")
        for name in ("holdout_share", "long_holdout_share"):
            if not 0 <= getattr(self, name) < 0.5:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie in [0, .5)")
        if self.engaged_within_minutes <= 0:
            raise ValueError(f"engaged_within_minutes is {self.engaged_within_minutes}; it must be above 0")
        # Says itself what is wrong with a ramp.
        _ = self.rollout
        if not 0 < self.impressions_kept <= 1:
            raise ValueError(f"impressions_kept is {self.impressions_kept}; it must lie in (0, 1]")
        if self.duplicate_window < 1:
            raise ValueError(f"duplicate_window is {self.duplicate_window}; it must be at least 1")
        if self.feature_log_hours < 1:
            raise ValueError(f"feature_log_hours is {self.feature_log_hours}; it must be at least 1")
        if unknown := sorted(set(self.hashed) - set(FIELDS)):
            raise ValueError(f"hashed names {unknown}; the fields that can be hashed are {FIELDS}")

    @property
    def rollout(self) -> RolloutRules:
        """How a ramp goes, with the steps of this file. Figures may be as old as engagement takes to come, twice."""
        within = timedelta(minutes=self.engaged_within_minutes)
        return RolloutRules(
            shares=self.rollout_shares,
            requests=self.rollout_requests,
            least_time=timedelta(minutes=self.rollout_least_minutes),
            oldest_figures=max(RolloutRules.oldest_figures, 2 * within),
        )

    @property
    def holdouts(self) -> Holdouts:
        return Holdouts(share=self.holdout_share, long_share=self.long_holdout_share)

    @classmethod
    def load(cls, path: Path | None = None) -> "Settings":
        """By default from the online.yml of the home if it has one, else from the project's.

        Raises ValueError, naming file and key, for what is missing, unknown or out of range.
        """
        if path is None:
            of_home = home().root / FILE.name
            path = of_home if of_home.exists() else FILE
        content = yaml.safe_load(path.read_text())
        expected = {field.name for field in fields(cls)}
        if not isinstance(content, dict) or set(content) != expected:
            found = sorted(content) if isinstance(content, dict) else content
            raise ValueError(f"{path} must hold exactly the keys {sorted(expected)}, not {found}")
        try:
            values: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
            }
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error
