"""Secrets from files, as orchestrators mount them: `SPREAVIEW_<NAME>_FILE` names the file."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource


class SecretFileError(Exception):
    """A secret's file cannot be used; the text names the variable and never the secret."""


class SecretFiles(PydanticBaseSettingsSource):
    """Reads settings from files. Raises `SecretFileError` when it is called.

    Args:
        settings_cls: the settings.
        prefix: of the environment's variables.
        names: the settings that may come from a file.
    """

    def __init__(self, settings_cls: type[BaseSettings], prefix: str, names: Sequence[str]) -> None:
        super().__init__(settings_cls)
        self._prefix = prefix
        self._names = names

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """One setting, None where no file is named."""
        variable = f"{self._prefix}{field_name.upper()}"
        file = os.environ.get(f"{variable}_FILE")
        if not file or field_name not in self._names:
            return None, field_name, False
        if os.environ.get(variable):
            raise SecretFileError(f"{variable} and {variable}_FILE are both set. Unset one of them")
        try:
            path = expanded(Path(file))
        except ValueError as error:
            raise SecretFileError(f"{variable}_FILE: {error}") from None
        return _content(f"{variable}_FILE", path), field_name, False

    def __call__(self) -> dict[str, Any]:
        """All settings that files are named for."""
        fields = self.settings_cls.model_fields
        found = {name: self.get_field_value(fields[name], name)[0] for name in self._names}
        return {name: value for name, value in found.items() if value is not None}


def expanded(path: Path) -> Path:
    """Return the path with the home folder for a leading `~`; ValueError if there is none."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"the home folder of {path.parts[0]} is not known") from None


def _content(variable: str, file: Path) -> str:
    """The text of a file, without the line break that editors add at its end."""
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise SecretFileError(f"{variable}: {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretFileError(f"{variable}: {file} is not UTF-8 text") from None
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise SecretFileError(f"{variable}: {file} is empty")
    return secret
