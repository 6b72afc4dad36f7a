"""The check of the settings."""

from collections.abc import Sequence

from cli.doctor.findings import Check, Result, ok, warning
from cli.doctor.installation import Installation
from cli.settings import Settings
from cli.status.headings import SETTINGS
from cli.unknown_settings import unknown_settings
from contracts.wording import counted


async def given(installation: Installation) -> Sequence[Result]:
    """No variable with our prefix is unknown. A wrong value ends the command at its start."""
    unknown = [
        warning(sentence, "correct the name, or unset it") for sentence in unknown_settings()
    ]
    number = len(Settings.model_fields.keys() & installation.settings.model_fields_set)
    return unknown or [ok(f"{counted(number, 'setting')} given, and all are valid")]


CHECKS = (Check("settings", SETTINGS, given),)
