"""dbt inside this process, on one lake: the project is parsed once, and a run costs no start of a process."""

import os
import warnings

from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.results import RunStatus

from lakehouse import server
from lakehouse.home import PROJECT, Home


class Dbt:
    """The project, parsed for `target`; `user` names the schemas of dev. One to a process, for it sets os.environ."""

    def __init__(self, home: Home, *, target: str, user: str = "bench") -> None:
        environment = server.environment(home) | {"STILLHOUSE_USER": user, "DBT_TARGET": target, "DBT_DEFER": "false"}
        # Beside the home's own, which may be of a build that runs now.
        folder = home.dbt / f"bench-{target}-{user}"
        environment |= {"DBT_TARGET_PATH": str(folder), "DBT_LOG_PATH": str(folder)}
        os.environ.update(environment)
        os.chdir(PROJECT)
        warnings.filterwarnings("ignore", message="Failed to set spark.sql.catalogImplementation")
        self.log = folder / "dbt.log"
        parsed = dbtRunner().invoke(["parse", "--quiet"])
        if not isinstance(parsed.result, Manifest):
            raise RuntimeError(f"dbt parse failed: {parsed.exception}; see {self.log}")
        self.manifest = parsed.result

    def run(self, *arguments: str) -> list[str]:
        """`dbt run` with `arguments`; what went wrong, a line for each, [] if nothing did."""
        done = dbtRunner(manifest=self.manifest).invoke(
            ["run", "--quiet", "--log-level", "none", "--no-write-json", *arguments]
        )
        if done.exception is not None:
            return [str(done.exception)]
        results = getattr(done.result, "results", [])
        bad = [one for one in results if one.status != RunStatus.Success]
        said = [f"{one.node.unique_id}: {one.message}" for one in bad]
        return said if said or done.success else [f"dbt failed without a word; see {self.log}"]
