"""The sources of landing files, by name, behind one function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from lakehouse.dataset import Dataset
from lakehouse.home import Home
from simulator import movielens, open_bandit
from simulator.files import Period
from simulator.simulate import simulate, simulated_dataset


class Land(Protocol):
    """Lands what a source holds of a period and returns the data set contract."""

    def __call__(self, home: Home, period: Period, *, progress: Callable[[str], None]) -> Dataset: ...


@dataclass(frozen=True, kw_only=True)
class Source:
    """A log that can land, and what it is."""

    dataset: Dataset
    land: Land


PUBLIC_LOGS: Mapping[str, Source] = {
    "movielens": Source(dataset=movielens.DATASET, land=movielens.land_movielens),
    "open-bandit": Source(dataset=open_bandit.DATASET, land=open_bandit.land_open_bandit),
}

# A world that a laptop builds and trains on in minutes; `simulate` makes others.
EXPOSURES, WEEKS, SEED = 400_000, 8, 1


def land_simulated(home: Home, period: Period, *, progress: Callable[[str], None]) -> Dataset:
    return simulate(home, exposures=EXPOSURES, weeks=WEEKS, seed=SEED, period=period, progress=progress)


SOURCES: Mapping[str, Source] = {
    **PUBLIC_LOGS,
    "simulated": Source(dataset=simulated_dataset(exposures=EXPOSURES, weeks=WEEKS, seed=SEED), land=land_simulated),
}


def land(
    name: str,
    home: Home,
    *,
    since: date | None = None,
    until: date | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Dataset:
    """Land the events that the source served on the days [since, until), and every state known before their end.

    What stands in the landing zone already is left alone, so `until` can move forward step by step.

    Raises ValueError for an unknown name, FileExistsError if another data set has landed here, FetchError if the log
    cannot be fetched.
    """
    if name not in SOURCES:
        raise ValueError(f"name is {name!r}; it must be one of {', '.join(SOURCES)}")
    return SOURCES[name].land(home, Period(since=since, until=until), progress=progress)
