"""Wording that logs, errors and answers share."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, such as `1 event` or `2,000 events`.

    `plural` is for nouns that do not only take an s.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
