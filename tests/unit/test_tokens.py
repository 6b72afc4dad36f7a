"""Tokens: a file of hashes, scopes and organizations, read again when it changes."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from cli.commands.token import write_token
from projections.http.tokens import Access, Scope, TokenFileError, Tokens

ORGANIZATION = UUID(int=7)
NOW = datetime(2026, 5, 28, tzinfo=UTC)


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


def test_a_file_that_becomes_unreadable_keeps_the_tokens_and_names_the_cause(
    tmp_path: Path,
) -> None:
    path = tmp_path / "tokens.json"
    token = write_token(path, "web tier", [Scope.READ], None)
    tokens = Tokens(path)
    path.write_text("{", "utf-8")
    assert tokens.access(token) is not None
    assert tokens.error is not None
    assert str(path) in tokens.error


@pytest.mark.parametrize("content", ["", "[]", '{"tokens": [{"name": "a"}]}', '{"token": []}'])
def test_a_file_that_is_no_token_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(content, "utf-8")
    with pytest.raises(TokenFileError, match=str(path)):
        Tokens(path)


def test_a_missing_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(TokenFileError, match="spreaview-sync token create"):
        Tokens(tmp_path / "missing.json")


def test_a_cookie_stands_for_its_token_until_it_expires(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    tokens, access = _signed_in(path)
    cookie = tokens.cookie(access, NOW + timedelta(hours=1))
    assert cookie is not None
    assert tokens.access_of_cookie(cookie, NOW) == access
    assert tokens.access_of_cookie(cookie, NOW + timedelta(hours=1)) is None


def test_a_cookie_ends_with_its_token(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    tokens, access = _signed_in(path)
    cookie = tokens.cookie(access, NOW + timedelta(hours=1))
    assert cookie is not None
    path.write_text('{"tokens": []}', "utf-8")
    assert tokens.access_of_cookie(cookie, NOW) is None


def test_a_changed_cookie_allows_nothing(tmp_path: Path) -> None:
    tokens, access = _signed_in(tmp_path / "tokens.json")
    cookie = tokens.cookie(access, NOW + timedelta(hours=1))
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


def _signed_in(path: Path) -> tuple[Tokens, Access]:
    token = write_token(path, "web tier", [Scope.READ], None)
    tokens = Tokens(path)
    access = tokens.access(token)
    assert access is not None
    return tokens, access
