"""Texts of errors, taken apart."""

_BEFORE_A_REMEDY = ("Remedy: ", "; run: ", " Check ")


def split_remedy(text: str) -> tuple[str, str | None]:
    """The sentence of an error, and the remedy in it; None if it has none."""
    for words in _BEFORE_A_REMEDY:
        sentence, found, remedy = text.partition(words)
        if found:
            begin = "check " if words == " Check " else ""
            return sentence.strip().removesuffix("."), f"{begin}{remedy.strip()}"
    return text.strip().removesuffix("."), None
