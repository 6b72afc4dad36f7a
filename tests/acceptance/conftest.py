"""Fixtures of the acceptance tests."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.sessionize.answers import Documents
from tests.support.sessionize.double import Double, sessionize_double


@pytest_asyncio.fixture
async def double(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Double]:
    """The double of Sessionize; no proxy is between it and the client."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    async with sessionize_double(Documents()) as double:
        yield double
