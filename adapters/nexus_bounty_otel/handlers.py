"""What does something with events of each type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nexus_bounty import events

Handler = Callable[[Any], None]
Handlers = dict[type[events.Event], Handler]
