"""The landing contract and the page that states it."""

import pytest

from lakehouse.home import PROJECT
from lakehouse.ingest.judge import REASONS
from lakehouse.landing import EXPOSURES, STREAMS, Column

PAGE = PROJECT / "docs" / "landing.md"


def test_the_page_states_every_column_as_the_contract_does() -> None:
    lines = PAGE.read_text().splitlines()
    for stream in STREAMS.values():
        start = lines.index(f"### {stream.name}")
        section = lines[start + 1 : next((i for i in range(start + 1, len(lines)) if lines[i].startswith("#")), None)]
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section if line.startswith("| ")][1:]
        stated = [(name, kind, null, allowed) for name, kind, null, allowed, _ in rows]
        assert stated == [(c.name, c.kind, _nullability(c), c.range.replace("|", "or")) for c in stream.columns]


def test_the_page_lists_exactly_the_reasons_that_quarantine_knows() -> None:
    table = PAGE.read_text().split("| reason | meaning |")[1].split("\n\n")[0]
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == list(REASONS)


def test_a_range_is_said_in_words() -> None:
    assert EXPOSURES.column("propensity").range == "> 0, ≤ 1"
    assert EXPOSURES.column("logging_draw").range == "≥ 0, < 1"
    assert EXPOSURES.column("traffic").range == "policy | random"
    assert EXPOSURES.column("score").range == ""


def test_a_column_that_the_stream_lacks_is_named() -> None:
    with pytest.raises(ValueError, match=r"'clicked'.*exposures has the columns"):
        EXPOSURES.column("clicked")


def _nullability(column: Column) -> str:
    return "may be left out" if column.optional else "may be null" if column.nullable else "no"
