"""What the registry refuses, in one sentence that says what, where and what to do."""


class ReleaseError(Exception):
    """A release, the pointer or the journal is not what it must be, or a change was refused."""
