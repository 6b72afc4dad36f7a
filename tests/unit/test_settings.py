"""Settings: ranges of numbers, paths with the home folder, and the URL of Sessionize."""

import os
from pathlib import Path
from typing import get_args

import pytest

from cli.setting_types import MOST_DAYS, MOST_SECONDS
from cli.settings import PREFIX, Settings, SettingsError, load_settings
from tests.support.commands_inside import inside as inside
from tests.support.commands_inside import run_inside
from tests.support.processes import environment

TYPES = {
    name: set(get_args(field.annotation)) or {field.annotation}
    for name, field in Settings.model_fields.items()
}
NUMBERS = [name for name, types in TYPES.items() if types & {int, float}]
DAYS = [name for name in NUMBERS if name.endswith("_days")]
SECONDS = [name for name in NUMBERS if float in TYPES[name]]
PATHS = [
    name
    for name, field in Settings.model_fields.items()
    if "pathlib" in str(field.annotation) or Path in TYPES[name]
]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


def refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> str:
    monkeypatch.setenv(f"{PREFIX}{name.upper()}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    said = str(caught.value)
    assert said.startswith(f"{PREFIX}{name.upper()}: is not ")
    return said


def test_there_are_settings_of_every_kind() -> None:
    assert all(len(kind) >= 5 for kind in (NUMBERS, DAYS, SECONDS, PATHS))


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["1" + "0" * 30, "-1", "inf", "nan", "many"])
def test_a_number_out_of_range_is_refused_with_the_range(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    said = refused(monkeypatch, name, value)
    assert " from " in said
    assert " to " in said


@pytest.mark.parametrize("name", DAYS)
def test_days_have_a_limit(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"{PREFIX}{name.upper()}", str(MOST_DAYS))
    assert getattr(load_settings(), name) == MOST_DAYS
    said = refused(monkeypatch, name, str(MOST_DAYS + 1))
    assert "is not a whole number of days from 1 to 36,500" in said


@pytest.mark.parametrize("name", [name for name in SECONDS if name != "kafka_session_seconds"])
def test_seconds_have_a_limit(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"{PREFIX}{name.upper()}", str(MOST_SECONDS))
    assert getattr(load_settings(), name) == MOST_SECONDS
    said = refused(monkeypatch, name, str(MOST_SECONDS + 1))
    assert "is not a number of seconds from 0.001 to 2,592,000" in said


@pytest.mark.parametrize("name", [name for name in PATHS if not name.startswith("kafka_")])
def test_a_path_may_begin_with_the_home_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(f"{PREFIX}{name.upper()}", "~/file")
    assert getattr(load_settings(), name) == tmp_path / "file"


@pytest.mark.asyncio
@pytest.mark.usefixtures("inside")
async def test_the_file_of_a_token_may_begin_with_the_home_folder(tmp_path: Path) -> None:
    arguments = ("token", "create", "--name", "n", "--scope", "read", "--file", "~/tokens.json")
    done = await run_inside(*arguments, env=environment() | {"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "tokens.json").exists()


URL = "sessionize_base_url"


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("http://host:abc/api", "is not a URL with a valid host, and a port from 1 to 65535"),
        ("http://xn--/api", "is not a URL with a valid host"),
        ("http://a..b/api", "is not a URL with a valid host"),
        ("http://[::1/api", "is not a URL with a valid host"),
        (f"http://{'a' * 64}/api", "is not a URL with a valid host"),
        ("http://127.0.0.1:99999/api", "has a port that is not from 1 to 65535"),
        ("http://127.0.0.1:0/api", "has a port that is not from 1 to 65535"),
        ("http://a b/api", "has a host that is neither a name nor an address"),
        ("http://host/api?x=1", "has a query or a fragment. Leave out everything from ? or #"),
        ("http://host/api?", "has a query or a fragment"),
        ("http://host/api#f", "has a query or a fragment"),
        ("http://s3cret:s3cret@host/api", "holds a user or a password, which are not sent"),
        ("http://s3cret@host/api", "holds a user or a password"),
        ("http://u:12/s3cret@host/api", "holds a user or a password"),
        ("http://@host/api", "holds a user or a password"),
        ("http://u:s3cret/x@host/api", "is not a URL with a valid host"),
        ("ftp://host/api", "is not an http:// or https:// URL"),
        ("sessionize.com/api/v2", "is not an http:// or https:// URL"),
        ("http:///api", "is not an http:// or https:// URL"),
    ],
)
def test_a_wrong_url_is_refused_with_the_cause_and_without_its_text(
    monkeypatch: pytest.MonkeyPatch, url: str, cause: str
) -> None:
    monkeypatch.setenv(f"{PREFIX}{URL.upper()}", url)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    said = str(caught.value)
    assert said.startswith(f"{PREFIX}{URL.upper()}: {cause}")
    assert "for example https://sessionize.com/api/v2" in said
    assert "s3cret" not in said


@pytest.mark.parametrize(
    "url",
    [
        "https://sessionize.com/api/v2",
        "http://127.0.0.1:8080/api/",
        "http://[::1]:8080",
        "HTTPS://Tübingen.example/a",
    ],
)
def test_a_url_is_taken_without_the_blanks_around_it(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv(f"{PREFIX}{URL.upper()}", f" {url}\n")
    assert load_settings().sessionize_base_url == url
