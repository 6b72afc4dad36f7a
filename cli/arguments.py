"""The arguments of the command line as a whole, before any command reads them."""

import sys
from collections.abc import Sequence


def not_text(arguments: Sequence[str]) -> str | None:
    """A sentence that names the first argument whose bytes are not text; None if all are.

    Python has lone surrogates for such bytes. They cannot be stored or sent. The text rule drops
    them from names, so that an erasure could take another name.
    """
    for index, argument in enumerate(arguments):
        if _is_text(argument):
            continue
        option, has_value, _ = argument.partition("=")
        if has_value and option.startswith("--") and _is_text(option):
            place = f"the value of {option}"
        elif index and (before := arguments[index - 1]).startswith("-"):
            place = f"the argument after {before}"
        else:
            place = f"argument {index + 1}"
        encoding = sys.getfilesystemencoding().upper()
        return f"{place} is not text in {encoding}. Remedy: give it in {encoding}"
    return None


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True
