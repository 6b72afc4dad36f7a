"""The answers of the local Sessionize: synthetic conferences, and pages instead of a schedule."""

from typing import NamedTuple

from cli.sandbox.conference import conference, encode_conference

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"


class SavedAnswer(NamedTuple):
    """A response that is sent as it is, byte for byte."""

    body: bytes
    status: int = 200
    content_type: str = JSON


def saved_page(status: int, heading: str) -> SavedAnswer:
    """A page of HTML: Sessionize sends one instead of a schedule that it cannot send."""
    html = f"<!DOCTYPE html>\n<html><head><title>{heading}</title></head><body><h1>{heading}</h1>"
    return SavedAnswer(f"{html}</body></html>\n".encode(), status, HTML)


NOT_FOUND = saved_page(404, "Not found")
NO_SUCH_VIEW = saved_page(400, "This view is not enabled for the endpoint")
ONLY_GET = saved_page(405, "Only GET is answered here")


def synthetic_answers() -> dict[str, SavedAnswer]:
    """One answer of each kind, by API ID: a full, an unannounced and an empty schedule, a page."""
    return {
        "demo2026": SavedAnswer(encode_conference(conference("demo2026"))),
        "unannounc": SavedAnswer(encode_conference(conference("demo2026", announced=False))),
        "emptyconf": SavedAnswer(encode_conference(conference("demo2026", sessions=0))),
        "htmlpage1": saved_page(200, "Schedule"),
        "notfound1": NOT_FOUND,
    }
