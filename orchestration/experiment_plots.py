"""Pictures of an experiment as PNG bytes: intervals of every metric by look, and by segment at the last one."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from decisions.experiment import Comparison
from decisions.experiment.figures import ALL_USERS
from ranker.plots import png

COLOURS = {"worse": "tab:red", "better": "tab:green", None: "0.4"}
# An early interval is so wide that nothing else would be seen beside it: the axis ends at this multiple of the last.
WIDEST = 4


def intervals_by_look(comparisons: Sequence[Comparison], *, title: str) -> bytes:
    """The lift of each metric over everybody at every look, with the interval that holds at all looks together."""
    metrics = list(dict.fromkeys(one.metric for one in comparisons))
    figure = Figure(figsize=(7, 2.2 * len(metrics)), layout="constrained")
    for axes, metric in zip(figure.subplots(len(metrics), squeeze=False)[:, 0], metrics, strict=True):
        of_metric = [one for one in comparisons if (one.metric, one.segment) == (metric, ALL_USERS)]
        axes.axhline(0, color="0.7", linewidth=1)
        for place, one in enumerate(of_metric):
            _interval(axes, one, place=place, is_upright=True)
        axes.set_xticks(range(len(of_metric)), [f"{one.day:%m-%d}" for one in of_metric])
        axes.set(ylabel=metric)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        last = of_metric[-1]
        if last.lower is not None and last.upper is not None and last.upper > last.lower:
            reach = WIDEST * max(abs(last.lower), abs(last.upper))
            axes.set_ylim(-reach, reach)
    figure.suptitle(title, fontsize="medium")
    return png(figure)


def intervals_by_segment(comparisons: Sequence[Comparison], *, title: str) -> bytes:
    """The lift of each metric in every segment at the last look; a metric's intervals hold for all of them."""
    newest = max(one.day for one in comparisons)
    shown = [one for one in comparisons if one.day == newest]
    figure = Figure(figsize=(7, 1 + 0.28 * len(shown)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="0.7", linewidth=1)
    for place, one in enumerate(shown):
        _interval(axes, one, place=place, is_upright=False)
    axes.set_yticks(range(len(shown)), [f"{one.metric}, {one.segment}" for one in shown])
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set(xlabel=f"lift by the end of {newest}")
    figure.suptitle(title, fontsize="medium")
    return png(figure)


def _interval(axes: Axes, one: Comparison, *, place: int, is_upright: bool) -> None:
    """A dot with its interval; nothing where the lift is undefined."""
    if one.lift is None:
        return
    lifts, places = [one.lower, one.upper], [place, place]
    if one.lower is not None:
        axes.plot(*((places, lifts) if is_upright else (lifts, places)), color=COLOURS[one.seen])
    axes.plot(*((place, one.lift) if is_upright else (one.lift, place)), "o", color=COLOURS[one.seen])
