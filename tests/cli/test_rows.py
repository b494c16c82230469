from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from pyspark.sql import Row

from cli.rows import as_json, as_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "NULL"),
        (True, "true"),
        (0.25, "0.25"),
        (float("nan"), "nan"),
        (Decimal("1.50"), "1.50"),
        (datetime(2024, 2, 29, 12, tzinfo=UTC).replace(tzinfo=None), "2024-02-29 12:00:00"),
        (bytearray(b"\x00\xff"), "AP8="),
        ({"shelf": [1, None]}, '{"shelf": [1, null]}'),
        (Row(day=date(2024, 2, 29)), '{"day": "2024-02-29"}'),
    ],
)
def test_a_cell_reads_as_a_person_expects(value: object, text: str) -> None:
    assert as_text(value) == text


def test_what_json_lacks_becomes_null_or_text() -> None:
    row = Row(share=float("inf"), price=Decimal("1.50"), by_day={date(2024, 2, 29): float("nan")})
    assert as_json(row) == {"share": None, "price": "1.50", "by_day": {"2024-02-29": None}}
