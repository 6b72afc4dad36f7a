"""Tokens: a file of hashes, scopes and organizations, read again when it changes."""

import json
import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from cli.commands.token import write_token
from messaging import backoff
from projections.http.tokens import Scope, TokenFileError, Tokens

ORGANIZATION = UUID(int=7)
NOW = datetime(2026, 5, 28, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _nothing_has_been_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "_failing", {})


def test_a_created_token_allows_its_scopes_and_organizations(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token = write_token(path, "web tier", [Scope.READ, Scope.SYNC], [ORGANIZATION])
    access = Tokens(path).access(token)
    assert access is not None
    assert access.name == "web tier"
    assert access.scopes == {Scope.READ, Scope.SYNC}
    assert access.includes(ORGANIZATION)
    assert not access.includes(UUID(int=8))
    assert not access.includes(None)


def test_the_file_holds_no_token_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token = write_token(path, "web tier", [Scope.READ], None)
    assert token not in path.read_text("utf-8")
    assert path.stat().st_mode & 0o077 == 0
    assert [each.name for each in tmp_path.iterdir()] == ["tokens.json"]


def test_a_second_token_keeps_the_first(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    first = write_token(path, "first", [Scope.READ], None)
    second = write_token(path, "second", [Scope.AUDIT], None)
    tokens = Tokens(path)
    assert tokens.access(first) is not None
    assert tokens.access(second) is not None


def test_a_name_is_used_once(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    write_token(path, "web tier", [Scope.READ], None)
    with pytest.raises(TokenFileError, match="has a token named web tier already"):
        write_token(path, "web tier", [Scope.READ], None)


@pytest.mark.parametrize("wrong", ["", "svs_", "svs_wrong", "\ud800", "x" * 10_000])
def test_an_unknown_token_allows_nothing(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "tokens.json"
    write_token(path, "web tier", [Scope.READ], None)
    assert Tokens(path).access(wrong) is None


def test_a_change_of_the_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token = write_token(path, "web tier", [Scope.READ], None)
    tokens = Tokens(path)
    later = write_token(path, "later", [Scope.READ], None)
    assert tokens.access(later) is not None
    path.write_text('{"tokens": []}', "utf-8")
    assert tokens.access(token) is None


@pytest.mark.parametrize("content", [b"{", b'{"tokens": [{"name": "\xff"}]}'])
def test_a_malformed_file_keeps_the_tokens_and_is_logged_once(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tokens.json"
    token = write_token(path, "web tier", [Scope.READ], None)
    usable = path.read_bytes()
    tokens = Tokens(path)
    path.write_bytes(content)
    for _ in range(3):
        assert tokens.access(token) is not None
    (line,) = caplog.messages
    assert f"the token file {path} cannot be used" in line
    assert "the tokens that were read last stay valid" in line
    path.write_bytes(usable)
    with caplog.at_level(logging.INFO):
        assert tokens.access(token) is not None
    assert caplog.messages[1:] == ["tokens works again"]


def test_a_file_that_is_gone_has_no_tokens_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tokens.json"
    token = write_token(path, "web tier", [Scope.READ], None)
    tokens = Tokens(path)
    path.rename(tmp_path / "elsewhere")
    for _ in range(3):
        assert tokens.access(token) is None
    (line,) = caplog.messages
    assert f"the token file {path} is gone: no token is valid" in line
    (tmp_path / "elsewhere").rename(path)
    assert tokens.access(token) is not None


def test_a_change_from_one_fault_to_another_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tokens.json"
    token = write_token(path, "web tier", [Scope.READ], None)
    tokens = Tokens(path)
    path.write_text("{", "utf-8")
    assert tokens.access(token) is not None
    path.unlink()
    assert tokens.access(token) is None
    assert ["is gone" in line for line in caplog.messages] == [False, True]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"tokens": [{"name": "a"}]}',
        b'{"token": []}',
        b'{"tokens": [{"name": "\xff"}]}',
    ],
)
def test_a_file_that_is_no_token_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokens.json"
    path.write_bytes(content)
    with pytest.raises(TokenFileError, match=str(path)):
        Tokens(path)


def test_a_missing_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(TokenFileError, match="spreaview-sync token create"):
        Tokens(tmp_path / "missing.json")


def test_a_cookie_stands_for_its_token_until_it_expires(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    tokens, token = _signed_in(path)
    cookie = tokens.cookie(token, NOW + timedelta(hours=1))
    assert cookie is not None
    assert tokens.access_of_cookie(cookie, NOW) == tokens.access(token)
    assert tokens.access_of_cookie(cookie, NOW + timedelta(hours=1)) is None


def test_a_cookie_ends_with_its_token(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    tokens, token = _signed_in(path)
    cookie = tokens.cookie(token, NOW + timedelta(hours=1))
    assert cookie is not None
    path.write_text('{"tokens": []}', "utf-8")
    assert tokens.access_of_cookie(cookie, NOW) is None


def test_a_changed_cookie_allows_nothing(tmp_path: Path) -> None:
    tokens, token = _signed_in(tmp_path / "tokens.json")
    cookie = tokens.cookie(token, NOW + timedelta(hours=1))
    assert cookie is not None
    expiry, name, signature = cookie.split(".")
    for forged in (
        f"{int(expiry) + 3600}.{name}.{signature}",
        f"{expiry}.{name}.{'0' * len(signature)}",
        f"{expiry}.{name}",
        f"{expiry}.{name}.é",
        "",
        "9" * 400,
    ):
        assert tokens.access_of_cookie(forged, NOW) is None


def test_a_hash_in_capitals_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token = write_token(path, "web tier", [Scope.READ], None)
    content = json.loads(path.read_text("utf-8"))
    content["tokens"][0]["sha256"] = content["tokens"][0]["sha256"].upper()
    path.write_text(json.dumps(content), "utf-8")
    os.utime(path, ns=(1, 1))
    assert Tokens(path).access(token) is not None


def test_a_cookie_has_the_rights_of_its_own_token_among_several_of_one_name(
    tmp_path: Path,
) -> None:
    path, every = tmp_path / "tokens.json", []
    for name, scope in (("strong", Scope.AUDIT), ("weak", Scope.READ)):
        every.append(write_token(path, name, [scope], None))
    path.write_text(path.read_text("utf-8").replace('"weak"', '"strong"'), "utf-8")
    tokens = Tokens(path)
    for token, scope in zip(every, (Scope.AUDIT, Scope.READ), strict=True):
        cookie = tokens.cookie(token, NOW + timedelta(hours=1))
        assert cookie is not None
        access = tokens.access_of_cookie(cookie, NOW)
        assert access is not None
        assert (access.name, access.scopes) == ("strong", frozenset({scope}))


def test_an_unknown_token_gets_no_cookie(tmp_path: Path) -> None:
    tokens, _ = _signed_in(tmp_path / "tokens.json")
    assert tokens.cookie("svs_wrong", NOW + timedelta(hours=1)) is None


def _signed_in(path: Path) -> tuple[Tokens, str]:
    token = write_token(path, "web tier", [Scope.READ], None)
    return Tokens(path), token
