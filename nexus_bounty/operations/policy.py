"""Who may do what to a bounty.

An actor is whoever the calling program has authenticated. Without one the program speaks for
whomever it likes, and nothing is refused here.

    create          the creator
    claim           the agent that is to hold it
    renew, release  the agent that holds it
    settle, cancel  the creator
    expire          anybody: the deadline decides
"""

from __future__ import annotations

from nexus_bounty.models import is_wanted
from nexus_bounty.outcomes import Evidence, NotAllowedError, Observation, Proof

ONLY_BY = {
    "create": "creator",
    "claim": "claimer",
    "renew": "claimer",
    "release": "claimer",
    "settle": "creator",
    "cancel": "creator",
}
"""The part of the one who alone may do an operation."""


def check_actor(actor: str | None, operation: str, whose: str, bounty_id: str) -> None:
    """Refuse an actor who is not the one who may.

    Args:
        actor: Who asks; `None` if the program does not say.
        operation: What is asked.
        whose: The agent who has that part in this bounty.
        bounty_id: The bounty.

    Raises:
        NotAllowedError: The actor may not; nothing was written (pre-commit).
    """
    if actor is None or operation not in ONLY_BY or is_wanted(actor, whose):
        return
    part = ONLY_BY[operation]
    seen = Observation(action="check", target=bounty_id, answer=f"its {part} is {whose!r}")
    raise NotAllowedError(
        f"{actor!r} may not {operation} bounty {bounty_id!r}: its {part} {whose!r} may",
        actor=actor,
        allowed=[whose],
        evidence=Evidence(proof=Proof.LOCAL_CHECK, observations=(seen,)),
    )
