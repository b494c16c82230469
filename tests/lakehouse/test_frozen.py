"""Frozen copies of what Spark wrote: the same rows, types and content hash; on a real lake."""

from typing import TYPE_CHECKING

import pytest

from lakehouse import frozen
from lakehouse.home import Home
from lakehouse.versions import content_hash, pin, read

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RELEASE = "2026-01-05-0a1b2c3d"


@pytest.mark.lake
def test_every_type_that_spark_writes_keeps_its_content_hash_in_a_frozen_copy(
    spark: "SparkSession", lake_home: Home
) -> None:
    spark.sql("create schema if not exists frozen_test")
    spark.sql(
        """
        create or replace table frozen_test.every_type using delta partitioned by (word) as
        select
            concat('e', id) as event_id,
            if(id = 1, null, concat('a b/', id)) as word,
            cast(id as int) as small,
            id * 0.5D as ratio,
            cast(id as float) as single,
            cast(id as decimal(10, 2)) as price,
            id = 1 as is_one,
            date'2026-01-05' as day,
            timestamp'2026-01-05 12:00:00.25' as at,
            encode('bytes', 'utf-8') as payload,
            array('x', null) as categories,
            map('click', 0.5D) as logits,
            named_struct('inner', array(id)) as nested
        from range(3)
        """
    )
    pinned = pin("frozen_test.every_type", home=lake_home)
    rows = read(pinned).sort_by("event_id")
    hashes = []
    frozen.write(
        lake_home,
        RELEASE,
        {pinned: rows},
        verify=lambda copies: hashes.append(content_hash(read(copies[pinned]).sort_by("event_id"))),
    )
    assert hashes == [content_hash(rows)]
    copy = frozen.copies(lake_home, RELEASE)[pinned]
    assert read(copy).sort_by("event_id").equals(rows)


def test_a_copy_that_does_not_read_back_leaves_nothing_behind(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = Home(tmp_path_factory.mktemp("home"))

    def refuse(_: object) -> None:
        raise ValueError("other rows")

    with pytest.raises(ValueError, match="other rows"):
        frozen.write(home, RELEASE, {}, verify=refuse)
    assert list((home.lake / "frozen").iterdir()) == []
    assert frozen.copies(home, RELEASE) == {}
