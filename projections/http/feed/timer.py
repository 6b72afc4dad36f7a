"""Time limits that do not interrupt: the owner looks at them."""

import asyncio


class Timer:
    """Measures the time since it was restarted."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._now = asyncio.get_running_loop().time
        self.restart()

    def restart(self) -> None:
        """Begin again."""
        self._until = self._now() + self._seconds

    @property
    def left(self) -> float:
        """The seconds until it is due; 0 or less from then on."""
        return self._until - self._now()
