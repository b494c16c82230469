"""Pages for a person: one HTML file that holds all it shows, asks nothing of a network, and escapes what logs say."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

# By the name of the file, or its beginning: the caption, and what is to be seen.
SHOWN = {
    "loss_curve": ("Learning curve", "Training loss per example against examples seen."),
    "segments": (
        "Segments beside production",
        "What each segment adds to the log loss of all rows, with its interval; right of the line is worse.",
    ),
    "reliability_": (
        "Reliability: ",
        "Observed rate against predicted probability by bin; on the diagonal they agree.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A PNG as base64, and what it is and shows in words, for those who do not see it."""

    caption: str
    shows: str
    png: str


def render(template: str, **content: Any) -> str:
    """A page of `orchestration/pages`, every value in it escaped. Raises UndefinedError for content that is missing."""
    return PAGES.get_template(template).render(**content)


def pictures(files: Mapping[str, bytes]) -> list[Picture]:
    """Every PNG among the files of a release, by name."""
    return [_picture(name, content) for name, content in sorted(files.items()) if name.endswith(".png")]


def _picture(name: str, content: bytes) -> Picture:
    stem = name.removesuffix(".png")
    png = base64.b64encode(content).decode()
    for beginning, (caption, shows) in SHOWN.items():
        if stem == beginning or (beginning.endswith("_") and stem.startswith(beginning)):
            of_what = stem.removeprefix(beginning).replace("_", " ")
            return Picture(caption=caption + of_what, shows=shows, png=png)
    return Picture(caption=stem.replace("_", " ").capitalize(), shows=f"A picture of the release, {name}.", png=png)


def figure(value: float | None) -> str:
    """A metric in a cell; what does not apply (the first release has no churn) is a dash.

    >>> figure(0.73592), figure(-0.00001), figure(None)
    ('0.7359', '0.0000', '–')
    """
    return "–" if value is None else f"{value:z.4f}"


def number(value: float | None) -> str:
    """A number of any kind in a cell: counts in full, the rest to four digits.

    >>> number(28663.0), number(1073741824), number(0.0114367), number(None)
    ('28,663', '1,073,741,824', '0.01144', '–')
    """
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("pages")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
PAGES.filters |= {"figure": figure, "number": number}
