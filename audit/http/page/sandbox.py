"""Actions of the page that exist in the sandbox only: syncs, and edits of the stand-in."""

from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from contracts.messages import Window


class Sandbox(Protocol):
    """The sandbox as the page uses it."""

    @property
    def organization_id(self) -> UUID:
        """The organization of the sandbox's conference."""

    @property
    def event_id(self) -> UUID:
        """The SpreaView event of the sandbox's conference."""

    @property
    def api_id(self) -> str:
        """Its Sessionize API ID at the stand-in."""

    @property
    def window(self) -> Window:
        """Its dates."""

    @property
    def edits(self) -> Mapping[str, str]:
        """The edits that the stand-in offers: a sentence by name."""

    def edit(self, name: str) -> None:
        """Change the schedule at the stand-in. Raises KeyError for an unknown edit."""
