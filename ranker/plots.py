"""Pictures of a training run as PNG bytes: reliability, the loss curve, changes by segment, values with intervals."""

from io import BytesIO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ranker.segments import SegmentChange

# The worst and the best: more are not read.
SEGMENTS_SHOWN = 24
COLOURS = {"worse": "tab:red", "better": "tab:green", "not shown": "0.5"}


def reliability_diagram(bins: list[dict[str, float]], *, title: str) -> bytes:
    """Observed rate against predicted probability by bin, on log axes (rates span decades); the diagonal is true.

    bins: as `metrics.reliability` gives them. Bins without an action cannot stand on a log axis and are counted
    in the title.
    """
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    shown = [one for one in bins if one["observed"] > 0 and one["predicted"] > 0]
    if shown:
        low = min(min(one["predicted"], one["observed"]) for one in shown)
        axes.plot([low, 1], [low, 1], color="0.7", linewidth=1, label="calibrated")
        axes.plot([one["predicted"] for one in shown], [one["observed"] for one in shown], "o-", label="this model")
        axes.set(xscale="log", yscale="log")
        axes.legend()
    hidden = len(bins) - len(shown)
    axes.set(xlabel="predicted", ylabel="observed", title=title + (f" ({hidden} bins without actions)" * bool(hidden)))
    return png(figure)


def loss_curve(curve: list[dict[str, float]], *, title: str) -> bytes:
    """Training loss against examples seen; `curve` as `Fitted.curve` gives it."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([point["examples"] for point in curve], [point["loss"] for point in curve])
    axes.set(xlabel="examples seen", ylabel="loss per example (nats)", title=title)
    return png(figure)


def segment_diagram(changes: list[SegmentChange], *, title: str) -> bytes:
    """What each segment adds to the change of the log loss, with its interval, the worst on top.

    changes: as `segment_changes` gives them; of many, the worst and the best are shown.
    """
    half = SEGMENTS_SHOWN // 2
    shown = changes if len(changes) <= SEGMENTS_SHOWN else [*changes[:half], *changes[-half:]]
    figure = Figure(figsize=(7, 1.2 + 0.28 * len(shown)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="0.7", linewidth=1)
    for place, one in enumerate(shown):
        axes.plot([one.low, one.high], [place, place], color=COLOURS[one.verdict])
        axes.plot(one.change, place, "o", color=COLOURS[one.verdict])
    axes.set_yticks(range(len(shown)), [one.name for one in shown])
    axes.invert_yaxis()
    axes.set(xlabel="added to the log loss of all rows (nats); right is worse")
    axes.set_title(title, fontsize="medium", loc="right")
    return png(figure)


def interval_diagram(values: dict[str, tuple[float, ...]], *, title: str, axis: str) -> bytes:
    """Values with their intervals side by side, {name: (value, low, high)}; NaN bounds show the value alone."""
    figure = Figure(figsize=(6, 1.2 + 0.4 * len(values)), layout="constrained")
    axes = figure.subplots()
    for place, (value, low, high) in enumerate(values.values()):
        axes.plot([low, high], [place, place], color="tab:blue")
        axes.plot(value, place, "o", color="tab:blue")
    axes.set_yticks(range(len(values)), list(values))
    axes.invert_yaxis()
    axes.set(xlabel=axis)
    axes.set_title(title, fontsize="medium", loc="right")
    return png(figure)


def png(figure: Figure) -> bytes:
    """The same bytes for the same figure."""
    buffer = BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()
