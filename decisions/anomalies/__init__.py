"""What is broken in a day's rows, by rules over the figures that monitoring.* keeps of it."""

from decisions.anomalies.judging import RULES, Finding, anomalies, is_judged
from decisions.anomalies.seen import Promise

__all__ = ["RULES", "Finding", "Promise", "anomalies", "is_judged"]
