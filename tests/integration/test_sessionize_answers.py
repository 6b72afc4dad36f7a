"""The answers of the tests' double of Sessionize: a folder of saved documents, by API ID."""

import json
from pathlib import Path

import pytest

from tests.support.sessionize.answers import Documents, api_id_of
from tests.support.sessionize.clients import (
    client_of,
)
from tests.support.sessionize.double import sessionize_double

BOM = b"\xef\xbb\xbf"
BODY = BOM + b'{\r\n  "sessions": [],\r\n  "title": "\xe2\x98\x95"\r\n}'


@pytest.mark.asyncio
async def test_a_folder_is_read_again_for_every_request(tmp_path: Path) -> None:
    (tmp_path / "all-abcd1234.json").write_bytes(BODY)
    (tmp_path / "all-my-konferenz-2026.json").write_bytes(b"{}")
    (tmp_path / "demo2026.json").write_bytes(b"mine, not the synthetic one")
    (tmp_path / "README.md").write_bytes(b"no document")
    (tmp_path / "deeper.json").mkdir()
    documents = Documents({"given123": b"given"}, folder=tmp_path)
    derived = api_id_of("all-my-konferenz-2026")

    async with (
        sessionize_double(documents) as double,
        client_of(double.base_url) as client,
    ):

        async def body(api_id: str) -> bytes:
            return (await client.get(f"/{api_id}/view/All")).content

        assert await body("abcd1234") == BODY
        assert await body(derived) == b"{}"
        assert await body("demo2026") == b"mine, not the synthetic one"
        assert await body("given123") == b"given"
        (tmp_path / "all-my-konferenz-2026.json").write_bytes(b"{ }")
        assert await body(derived) == b"{ }"
        (tmp_path / "all-my-konferenz-2026.json").unlink()
        assert (await client.get(f"/{derived}/view/All")).status_code == 404
    assert set(documents.api_ids) == {
        *("abcd1234", derived, "given123"),
        *("demo2026", "emptyconf", "htmlpage1", "notfound1", "unannounc"),
    }


@pytest.mark.parametrize(
    ("stem", "api_id"),
    [
        ("abcd1234", "abcd1234"),
        ("all-abcd1234", "abcd1234"),
        ("ABCDefgh1234", "ABCDefgh1234"),
        ("all-gab-linz-2022", "gablinx3kqur"),
        ("01", "01sog3rspyfs"),
        ("会議", "n566rzekz26s"),
    ],
)
def test_a_file_has_the_same_api_id_everywhere(stem: str, api_id: str) -> None:
    assert api_id_of(stem) == api_id


def test_both_ways_to_encode_an_accent_in_a_file_name_give_one_id() -> None:
    assert api_id_of("caf\u00e9") == api_id_of("cafe\u0301") != api_id_of("cafe")


def test_files_that_would_share_an_id_are_refused(tmp_path: Path) -> None:
    (tmp_path / "abcd1234.json").write_bytes(BODY)
    (tmp_path / "all-abcd1234.json").write_bytes(BODY)

    with pytest.raises(ValueError, match=r"abcd1234\.json and all-abcd1234\.json"):
        Documents(folder=tmp_path)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Documents(folder=tmp_path / "missing")


@pytest.mark.parametrize("api_id", ["", "short", "toolong123456", "with-dash", "https://x.y/"])
def test_only_api_ids_can_be_served(api_id: str) -> None:
    with pytest.raises(ValueError, match="no API ID"):
        Documents({api_id: b""})


CORPUS = Path(__file__).parents[2].parent / "shared" / "corpus" / "schedules"


@pytest.mark.asyncio
@pytest.mark.skipif(not CORPUS.is_dir(), reason="../shared/corpus is not there")
async def test_real_documents_are_served_byte_for_byte() -> None:
    documents = Documents(folder=CORPUS)
    async with (
        sessionize_double(documents) as double,
        client_of(double.base_url) as client,
    ):
        for file in sorted(CORPUS.glob("*.json")):
            response = await client.get(f"/{api_id_of(file.stem)}/view/All")
            assert response.content == file.read_bytes()
            json.loads(response.content.decode("utf-8-sig"))
