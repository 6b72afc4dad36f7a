"""The text rule, clause by clause."""

import unicodedata
from unicodedata import normalize

import pytest
from hypothesis import strategies as st

from tests.support.properties import for_all
from worker.rules.text import (
    _BREAKS,
    _DROPPED,
    MAX_FIELD_BYTES,
    MAX_MARKS,
    UnreadableTextError,
    clean,
    clean_field,
    clean_lines,
    clean_title,
)

FAMILY = "👩\u200d👩\u200d👧\u200d👦"
BREAKS = "\x0b\x0c\r\x85\u2028\u2029"
DROPPED = "\x00\x01\x08\x0b\x0c\x0e\x1f\x7f\x80\x85\x9f\u200b\u2060\ufeff\u202d\u202e"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(" \t\n Title \r\n", "Title", id="trim"),
        pytest.param("\u00a0\u3000Title\u2003", "Title", id="trim any white space"),
        pytest.param("two  spaces", "two  spaces", id="inner space stays"),
        pytest.param("a\r\nb\r\n\r\nc", "a\nb\n\nc", id="CRLF"),
        pytest.param("a\rb", "ab", id="a lone CR is a control character"),
        pytest.param("a\r\x00\nb", "a\nb", id="CRLF with something between"),
        pytest.param("a\tb\nc", "a\tb\nc", id="tab and newline stay"),
        pytest.param("Zu\u0308rich", "Z\u00fcrich", id="NFC"),
        pytest.param("A\u0301\u0323", "\u1ea0\u0301", id="NFC, several marks"),
        pytest.param("ﬁ ² ｆ", "ﬁ ² ｆ", id="NFC, not NFKC"),
        pytest.param("u\u200b\u0308", "ü", id="composed across what is dropped"),
        pytest.param(" \u200b \ufeff", "", id="nothing left"),
        pytest.param("日本語 한국어 العربية", "日本語 한국어 العربية", id="scripts"),
        pytest.param("<b>&amp;</b>", "<b>&amp;</b>", id="markup is text"),
    ],
)
def test_the_rule(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize("character", DROPPED, ids=lambda c: f"U+{ord(c):04X}")
def test_invisible_characters_are_dropped(character: str) -> None:
    assert clean(f"a{character}b") == "ab"


def test_only_tab_and_newline_remain_of_the_control_characters() -> None:
    controls = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) == "Cc"]

    assert clean("a" + "".join(controls) + "b") == "a\t\nb"


def test_whatever_the_rule_drops_or_replaces_is_not_printable() -> None:
    """Printable texts take a short cut."""
    printable = [c for c in map(chr, range(0x110000)) if c.isprintable()]
    replaced = [c for c in printable if clean_lines(f"a{c}b") != normalize("NFC", f"a{c}b")]
    by_the_long_way = [c for c in printable if _DROPPED.search(c) or _BREAKS.search(c)]

    assert (replaced, by_the_long_way) == ([], [])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(FAMILY, id="zero width joiner"),
        pytest.param("❤\ufe0f ☎\ufe0e", id="variation selectors"),
        pytest.param("👩🏽\u200d💻", id="skin tone"),
        pytest.param("🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", id="tags"),
        pytest.param("🇦🇹 1\ufe0f\u20e3", id="flag and keycap"),
        pytest.param("می\u200cخواهم", id="zero width non-joiner"),
        pytest.param("א\u200f(b)\u200e", id="direction marks"),
    ],
)
def test_joiners_and_variation_selectors_stay(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize("code", [0xD800, 0xDBFF, 0xDC00, 0xDFFF], ids=hex)
def test_a_lone_surrogate_is_dropped(code: int) -> None:
    half = chr(code)
    assert clean(f"a{half}b") == clean_title(f"a{half}b") == clean_lines(f"a{half}b") == "ab"


@pytest.mark.parametrize("character", BREAKS, ids=lambda c: f"U+{ord(c):04X}")
def test_a_line_break_is_a_newline_in_long_texts_and_a_space_in_titles(character: str) -> None:
    assert clean_lines(f"One.{character}Two.{character}") == "One.\nTwo."
    assert clean_title(f"Title{character}Subtitle{character}") == "Title Subtitle"


def test_crlf_is_one_newline_even_with_something_between() -> None:
    for rule in (clean, clean_title, clean_lines):
        assert rule("a\r\nb\r\u200b\nc") == "a\nb\nc"


def test_each_field_has_the_rule_for_its_kind() -> None:
    text = "a\u2028b"

    assert {clean_field(name, text) for name in ("abstract", "bio")} == {"a\nb"}
    titles = ("title", "name", "first_name", "last_name", "full_name", "tag_line")
    assert {clean_field(name, text) for name in titles} == {"a b"}
    assert clean_field("live_url", "a\rb") == "ab"


@for_all(st.text() | st.text(st.sampled_from("a\u0308\u0301 \r\n\t" + DROPPED + BREAKS)))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    for rule in (clean, clean_title, clean_lines):
        assert rule(rule(text)) == rule(text)


@for_all(st.text(max_size=20), st.text(max_size=20))
def test_dropped_characters_make_no_difference_anywhere_in_a_text(left: str, right: str) -> None:
    for rule in (clean, clean_title, clean_lines):
        assert rule(f"{left}\u200b{right}") == rule(left + right)


@pytest.mark.parametrize("character", ["x", "ä", "✓", "😀"])
def test_a_field_of_64_kib_is_kept_and_one_byte_more_is_not(character: str) -> None:
    size = len(character.encode())
    full = character * (MAX_FIELD_BYTES // size) + "x" * (MAX_FIELD_BYTES % size)

    assert clean(full) == full
    with pytest.raises(UnreadableTextError, match=r"^a text of 65537 bytes exceeds 64 KiB$"):
        clean(full + "x")


def test_dropped_characters_do_not_count_towards_the_limit() -> None:
    assert clean("\u200b" * MAX_FIELD_BYTES + " " * MAX_FIELD_BYTES + "x") == "x"


@pytest.mark.parametrize("mark", ["\u0301", "\u0f73", "\u0f81"])
def test_a_text_with_too_many_marks_in_a_row_is_refused_before_they_are_ordered(mark: str) -> None:
    most = "a" + mark * MAX_MARKS
    assert clean(f"{most}b{most}").count("b") == 1
    with pytest.raises(UnreadableTextError, match="more than 100 combining marks in a row"):
        clean(most + "\u0323")
    with pytest.raises(UnreadableTextError):
        clean("a" + "\u0301\u0323" * 5_000_000)  # hours, if they were ordered


def test_a_text_that_normalising_shortens_to_the_limit_is_kept() -> None:
    syllables = MAX_FIELD_BYTES // 3
    assert len(clean("\u1112\u1161\u11ab" * syllables)) == syllables


def test_a_text_that_is_too_long_however_it_is_normalised_is_refused_at_once() -> None:
    with pytest.raises(UnreadableTextError, match="exceeds 64 KiB"):
        clean("\u1112\u1161\u11ab" * 5_000_000)
