"""The log loss of always answering the mean rate: by its share losses of busy and of quiet logs compare."""

from math import log


def binary_entropy(rate: float) -> float:
    """−r log r − (1 − r) log(1 − r), in nats; 0 where every row has one label.

    >>> round(binary_entropy(0.5), 4), binary_entropy(1.0)
    (0.6931, 0.0)
    """
    return -rate * log(rate) - (1 - rate) * log(1 - rate) if 0 < rate < 1 else 0.0
