"""Ids that an engine might hash in its own way."""

USER_IDS = (
    "u1",
    "",
    " ",
    "7",
    "007",
    "None",
    "null",
    "NaN",
    "naïve",
    "nai\u0308ve",
    "ユーザー",
    "👩‍👩‍👧",
    "a/b",
    "quote'd",
    "tab\tline\nend",
    "\u0000",
    "x" * 1_000,
    *(f"user-{number}" for number in range(1_000)),
)
