"""Release artifacts, the pointer, the journal."""

from registry.artifact import Artifact
from registry.errors import ReleaseError
from registry.exclusions import Exclusion
from registry.journal import Entry
from registry.lineage import Input, Lineage, code_version, environment
from registry.moves import Holdouts
from registry.pointer import Pointer
from registry.registry import Registry

__all__ = [
    "Artifact",
    "Entry",
    "Exclusion",
    "Holdouts",
    "Input",
    "Lineage",
    "Pointer",
    "Registry",
    "ReleaseError",
    "code_version",
    "environment",
]
