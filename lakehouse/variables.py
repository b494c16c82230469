"""The knobs of dbt_project.yml, for what is computed beside SQL."""

from pathlib import Path
from typing import Any

import yaml


def variables(project: Path) -> dict[str, Any]:
    """What stands under `vars`; its meaning, range and default are explained there."""
    content: dict[str, Any] = yaml.safe_load((project / "dbt_project.yml").read_text())["vars"]
    return content
