"""The API ID in what somebody typed or pasted."""

import pytest

from contracts.messages import mask_api_id, parse_api_id


@pytest.mark.parametrize(
    ("text", "api_id"),
    [
        ("abcd1234", "abcd1234"),
        ("ABCD1234", "ABCD1234"),
        ("12345678", "12345678"),
        ("abcdefghijkl", "abcdefghijkl"),
        (" abcd1234\r\n", "abcd1234"),
        ("https://sessionize.com/api/v2/abcd1234", "abcd1234"),
        ("https://sessionize.com/api/v2/abcd1234/", "abcd1234"),
        ("https://sessionize.com/api/v2/abcd1234/view/All", "abcd1234"),
        ("https://sessionize.com/api/v2/abcd1234/view/GridSmart?under=True", "abcd1234"),
        ("https://sessionize.com/api/v2/abcd1234?x=https://evil.example", "abcd1234"),
        ("https://sessionize.com/api/v2/abcd1234#top", "abcd1234"),
        ("https://sessionize.com/api/v2/abcd1234/../../x", "abcd1234"),
        ("https://sessionize.com/api/v2/abcdefghijkl/view/All", "abcdefghijkl"),
        ("https://www.sessionize.com/api/v2/abcd1234/view/All", "abcd1234"),
        ("http://sessionize.com/api/v2/abcd1234/view/All", "abcd1234"),
        ("HTTPS://Sessionize.com/API/V2/AbCd1234/View/All", "AbCd1234"),
    ],
)
def test_an_id_or_an_address_is_reduced_to_the_id(text: str, api_id: str) -> None:
    assert parse_api_id(text) == api_id


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("abcd123", id="7 characters"),
        pytest.param("abcdefghijklm", id="13 characters"),
        pytest.param("abcd 1234", id="space"),
        pytest.param("abcd\n1234", id="line break"),
        pytest.param("abcd-1234", id="hyphen"),
        pytest.param("abcd_1234", id="underscore"),
        pytest.param("abcd1234\x00", id="NUL"),
        pytest.param("../abcd1234", id="path"),
        pytest.param("abcd1234/view/All", id="path behind"),
        pytest.param("abcd1234.example", id="host"),
        pytest.param("evil.example", id="12 characters of host"),
        pytest.param("%61bcd1234", id="percent"),
        pytest.param("١٢٣٤٥٦٧٨", id="Arabic digits"),
        pytest.param("ａｂｃｄ１２３４", id="full-width"),
        pytest.param("abcd123²", id="superscript"),
        pytest.param("äbcd1234", id="umlaut"),
        pytest.param("ſessions", id="long s"),
        pytest.param("https://sessionize.com/api/v2/abcd123/view/All", id="URL, 7"),
        pytest.param("https://sessionize.com/api/v2/abcdefghijklm/view/All", id="URL, 13"),
        pytest.param("https://sessionize.com/api/v2/١٢٣٤٥٦٧٨/view/All", id="URL, Arabic digits"),
        pytest.param("https://sessionize.com/api/v2/abcd_123/view/All", id="URL, underscore"),
        pytest.param("https://sessionize.com/abcd1234", id="another page"),
        pytest.param("https://sessionize.com/api/v2/", id="URL without an id"),
        pytest.param("https://evil.example/api/v2/abcd1234/view/All", id="another host"),
        pytest.param("https://sessionize.com.evil.example/api/v2/abcd1234", id="longer host"),
        pytest.param("https://evilsessionize.com/api/v2/abcd1234", id="host that ends alike"),
        pytest.param("https://sessionizeXcom/api/v2/abcd1234", id="dot means dot"),
        pytest.param("https://sessionize.com@evil.example/api/v2/abcd1234", id="user"),
        pytest.param("https://evil.example/?https://sessionize.com/api/v2/abcd1234", id="query"),
        pytest.param("ftp://sessionize.com/api/v2/abcd1234", id="scheme"),
        pytest.param("//sessionize.com/api/v2/abcd1234", id="no scheme"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    assert parse_api_id(text) is None


@pytest.mark.parametrize("letter", ["\u017f", "\u212a", "\u0130", "\u0131"])
def test_letters_that_fold_to_ascii_are_no_ascii_letters(letter: str) -> None:
    assert parse_api_id(f"https://sessionize.com/api/v2/abcd123{letter}/view/All") is None


@pytest.mark.parametrize(
    ("api_id", "masked"), [("abcd1234", "ab******"), ("abcdefghijkl", "ab**********")]
)
def test_a_masked_id_shows_its_first_two_characters(api_id: str, masked: str) -> None:
    assert mask_api_id(api_id) == masked
