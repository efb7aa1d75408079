"""How long a server takes to answer, and the times that go by that.

What a program prepares for its next step, or leaves for later, is to last as long as that step may
take to come: half a second is many round trips of a near server, and less than one of a far or busy
one. So these times are some round trips, where those are longer than `cleanup_delay`. None of them
proves anything: a name that was won does, whenever it was.
"""

from __future__ import annotations

from typing import Final

A_MOMENT: Final = 3
"""Round trips: to see something, to go by it, and one to spare."""
BETWEEN_BATCHES: Final = 5
"""Round trips: a life sends its next batch of writes at most four after one."""
A_LIFE: Final = 12
"""Round trips, with one or two to spare."""
MOST: Final = 20
"""How many times as long as on a quick server any of these times is at most."""
_WEIGHT: Final = 1 / 8


class RoundTrips:
    """What is usual on one server, by the answers that came last.

    Args:
        quick: How many seconds these times last where answers are quick.

    Attributes:
        quick: The same; what others rely on goes by it, however slow answers are.
    """

    def __init__(self, quick: float) -> None:
        self.quick = quick
        self._usual: float | None = None

    def answered(self, seconds: float) -> None:
        """Note how long one answer took; what was never answered says nothing."""
        usual = seconds if self._usual is None else self._usual
        self._usual = usual + (seconds - usual) * _WEIGHT

    @property
    def moment(self) -> float:
        """For how many seconds a look at what other programs may change is fresh.

        They see as late what is left for a moment.
        """
        return self._lasting(A_MOMENT)

    @property
    def life(self) -> float:
        """How many seconds a life takes that nothing holds up: what is nobody else's waits for it.

        What was done ahead is taken up by then.
        """
        return self._lasting(A_LIFE)

    @property
    def between_batches(self) -> float:
        """Within how many seconds another batch of writes may be expected while a life goes on."""
        return BETWEEN_BATCHES * (self._usual or 0.0)

    def _lasting(self, round_trips: int) -> float:
        return min(max(self.quick, round_trips * (self._usual or 0.0)), MOST * self.quick)
