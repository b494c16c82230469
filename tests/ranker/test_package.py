import subprocess
import sys


def test_importing_ranker_loads_no_spark_dbt_dagster_or_web_server() -> None:
    # A process of its own: other tests may have loaded these already.
    code = (
        "import sys, ranker; "
        "loaded = {name.partition('.')[0] for name in sys.modules}; "
        "print(sorted(loaded & {'pyspark', 'dbt', 'dagster', 'deltalake', 'requests', 'aiohttp', 'litestar', "
        "'lakehouse', 'orchestration', 'cli', 'registry', 'decisions', 'sklearn', 'pandas'}), 'torch' in loaded)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[] True"
