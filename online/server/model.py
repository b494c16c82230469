"""A release as a server answers with it: verified, rebuilt from its own files, and found to say what it said before."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from online.server.features import Columns
from ranker import Calibrator, Candidates, FeatureSpec, Ranker, golden_error, score
from ranker.artifact import SERVING
from ranker.golden import TOLERANCE
from ranker.metrics import Floats
from registry import Registry, ReleaseError


@dataclass(frozen=True)
class ServedModel:
    """The serving weights and the calibrator of one release."""

    release: str
    ranker: Ranker
    calibrator: Calibrator

    @property
    def spec(self) -> FeatureSpec:
        return self.ranker.spec

    @classmethod
    def load(cls, registry: Registry, release: str) -> "ServedModel":
        """Raises ReleaseError unless every file is what was saved and the golden rows score as they did then."""
        artifact = registry.load(release)
        if "golden.json" not in artifact.files:
            raise ReleaseError(f"release {release} holds no golden rows: it was made before they were kept; retrain it")
        try:
            ranker = Ranker.from_files(dict(artifact.files), weights=SERVING)
            calibrator = Calibrator.from_json(artifact.json("calibrator.json"))
            error = golden_error(artifact.json("golden.json"), model=ranker, calibrator=calibrator)
        except (ValueError, KeyError) as problem:
            raise ReleaseError(f"release {release} cannot be served: {problem}") from problem
        if not error <= TOLERANCE:
            raise ReleaseError(
                f"release {release} is not served: its golden rows score {error:.2g} log-odds from what they did when "
                f"it was made ({TOLERANCE:g} allowed); this machine or its torch computes something else"
            )
        return cls(release=release, ranker=ranker, calibrator=calibrator)

    def probabilities(self, requests: Sequence[Columns]) -> list[dict[str, Floats]]:
        """Calibrated p(action) of each candidate of each request, were it shown first; one pass for all of them."""
        rows = Candidates.concatenated([columns.candidates(self.spec) for columns in requests])
        found = self.calibrator.apply(score(self.ranker, rows))
        ends = np.cumsum([columns.num_rows for columns in requests])[:-1]
        parts = {action: np.split(values, ends) for action, values in found.items()}
        return [{action: of[number] for action, of in parts.items()} for number in range(len(requests))]
