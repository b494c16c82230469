"""Two pictures of a training run, as PNG bytes: the reliability diagram and the loss curve."""

from io import BytesIO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


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
    return _png(figure)


def loss_curve(curve: list[dict[str, float]], *, title: str) -> bytes:
    """Training loss against examples seen; `curve` as `Fitted.curve` gives it."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([point["examples"] for point in curve], [point["loss"] for point in curve])
    axes.set(xlabel="examples seen", ylabel="loss per example (nats)", title=title)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()
