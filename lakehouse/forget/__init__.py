"""Remove people from the lake, past every pin: from landing files, tables in all versions, and frozen copies."""

from lakehouse.forget.beside import clear_leftovers, cut_truth, traces
from lakehouse.forget.landing import LandedFile, landed_files, rewrite
from lakehouse.forget.names import Names
from lakehouse.forget.tables import Held, delete, find, purge, restate_loads

__all__ = [
    "Held",
    "LandedFile",
    "Names",
    "clear_leftovers",
    "cut_truth",
    "delete",
    "find",
    "landed_files",
    "purge",
    "restate_loads",
    "rewrite",
    "traces",
]
