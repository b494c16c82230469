"""obp's estimates from the arrays in a file; runs in the peers' environment, which does not hold this project.

Arguments: the file to read (NumPy's npz, `<case>/<argument>`), the file to write (JSON: case, estimator, value).
"""

import json
import sys

import numpy as np
from obp.ope import (
    DoublyRobust,
    InverseProbabilityWeighting,
    ReplayMethod,
    SelfNormalizedInverseProbabilityWeighting,
)

ESTIMATORS = {
    "ips": InverseProbabilityWeighting(),
    "snips": SelfNormalizedInverseProbabilityWeighting(),
    "replay": ReplayMethod(),
    "dr": DoublyRobust(),
}


def main(read_from: str, write_to: str) -> None:
    arrays = np.load(read_from)
    found = {}
    for case in sorted({name.rpartition("/")[0] for name in arrays}):
        given = {name.rpartition("/")[2]: arrays[name] for name in arrays if name.rpartition("/")[0] == case}
        found[case] = {name: float(one.estimate_policy_value(**given)) for name, one in ESTIMATORS.items()}
    with open(write_to, "w") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
