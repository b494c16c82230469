"""Rules on actions, and on what features tell of them."""

from collections.abc import Iterator
from math import isfinite, sqrt

import numpy as np

from decisions.anomalies.seen import Seen, moved


def actions(seen: Seen) -> Iterator[str]:
    day = seen.day
    for action, positives in day.positives.items():
        usual = seen.usual(lambda one, action=action: one.positives.get(action, 0) / one.examples)  # type: ignore[misc]
        expected = float(np.median(usual)) * day.examples
        if positives == 0 and expected > 20:
            yield f"no {action} at all, where {expected:,.0f} were to be expected"
        elif max(positives, expected) > 30 and moved(positives / day.examples, usual):
            yield f"{action} follows {positives / day.examples:.2%} of the rows ({np.median(usual):.2%} is usual)"
    highest = max(day.positives.values(), default=0)
    if not highest <= day.acted <= min(day.examples, sum(day.positives.values())):
        yield f"{day.acted:,} rows have an action, and one action alone {highest:,}: labels contradict each other"


def relations(seen: Seen) -> Iterator[str]:
    """Features that tell the outcome, or that no longer do."""
    for kind in ("numeric", "categorical", "sequence"):
        for name, feature, past in seen.features(kind):
            for what, figure in (
                (name, lambda one: one.acted_correlation),
                (f"{name} being missing", lambda one: one.missing_acted_correlation),
            ):
                now = figure(feature)
                usual = np.array([figure(one) for _, one in past])
                usual = usual[np.isfinite(usual)]
                highest = float(np.abs(usual).max()) if len(usual) else 0.0
                if isfinite(now) and abs(now) > max(0.5, 3 * highest):
                    yield f"{what} tells the outcome: correlation {now:.2f} with acted (at most {highest:.2f} before)"
            now, usual = feature.acted_correlation, np.array([one.acted_correlation for _, one in past])
            if not np.isfinite(usual).all() or not isfinite(now):
                continue
            middle = float(np.median(usual))
            spread = float(np.std(usual)) + 1 / sqrt(seen.day.examples)
            if abs(now) < 0.4 * abs(middle) and abs(now - middle) > 5 * spread:
                yield (
                    f"{name} no longer tells what it did: correlation {now:.3f} with acted "
                    f"({middle:.3f} is usual); a wrong join?"
                )
