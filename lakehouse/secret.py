"""Secrets of a home: each generated once, and readable by the home's owner alone."""

import secrets
from pathlib import Path


def secret(path: Path) -> str:
    """The secret that `path` keeps; the first call makes it."""
    if not path.exists():
        draft = path.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(32))
        draft.replace(path)
    return path.read_text()
