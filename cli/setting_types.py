"""What the values of settings have in common: ranges of numbers, and paths."""

from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from cli.secret_files import expanded

MOST_DAYS = 36_500
MOST_SECONDS = 2_592_000
"""30 days."""


def whole(low: int, high: int, what: str = "a whole number") -> WrapValidator:
    """Accept whole numbers from `low` to `high`; the error names both."""
    return _in_range(low, high, f"{what} from {low:,} to {high:,}")


def seconds(low: float, high: float) -> WrapValidator:
    """Accept numbers of seconds from `low` to `high`; the error names both."""
    return _in_range(low, high, f"a number of seconds from {low:g} to {high:,}")


def _in_range(low: float, high: float, range_: str) -> WrapValidator:
    def check(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        try:
            number = read(value)
        except ValidationError:
            number = None
        if number is None and value is None:
            return None
        if number is None or not low <= number <= high:  # also for nan
            raise ValueError(f"is not {range_}")
        return number

    return WrapValidator(check)


PORT = whole(1, 65_535, "a port")
DAYS = whole(1, MOST_DAYS, "a whole number of days")
SECONDS = seconds(0.001, MOST_SECONDS)
COUNT = whole(1, 1_000_000)
BYTES = whole(0, 2**40, "a number of bytes")
LEAST_BYTES = whole(1024, 2**40, "a number of bytes")

HomePath: TypeAlias = Annotated[Path, AfterValidator(expanded)]
"""A path whose leading `~` is the home folder, as in a shell."""
