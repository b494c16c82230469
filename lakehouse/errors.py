"""What goes wrong between a user and the lake, said in a line that names what to do."""

import re


class LakeError(RuntimeError):
    """The lake cannot start or answer; the message is one line that says what to do."""


class ServerDied(LakeError):
    """The lake server ended while a client was using it. A new `connect` starts the next one."""


def short_error(exception: BaseException, *, num_lines: int = 4) -> str:
    """What an exception says to a person: its first lines, without class names and without a JVM stack trace.

    A Spark error that arrives over Connect carries its one useful line, the query plan and sixty lines of trace.

    >>> short_error(ValueError("propensity is 0; it must lie in (0, 1]"))
    'propensity is 0; it must lie in (0, 1]'
    >>> said = "[TABLE_OR_VIEW_NOT_FOUND] No `a`. SQLSTATE: 42P01; line 1 pos 14;\\n'Project\\n\\nJVM stacktrace:\\n…"
    >>> short_error(RuntimeError(said))
    '[TABLE_OR_VIEW_NOT_FOUND] No `a`. SQLSTATE: 42P01; line 1 pos 14'
    """
    text = str(exception).strip() or type(exception).__name__
    text = re.split(r"\n\s*JVM stacktrace:|;\n'|\n\s+at [\w.$]+\(", text, maxsplit=1)[0]
    text = re.sub(r"^\(?(?:org|java|scala)\.[\w.$]+\)?:? *", "", text)
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines[:num_lines])
