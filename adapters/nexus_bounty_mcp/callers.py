"""Who calls: configured for a whole process, or told by a bearer token, never by the model."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Protocol

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.mcpserver import Context

from nexus_bounty.models import AgentIdentity
from nexus_bounty.outcomes import InvalidInputError
from nexus_bounty.validation import check_agent


class Callers(Protocol):
    """Knows on whose behalf a call is made."""

    def agent(self, context: Context[Any, Any]) -> AgentIdentity:
        """The agent that makes the call.

        Raises:
            PermissionError: Nobody has been authenticated.
        """
        ...


class OneCaller:
    """The one agent that a process serves, as on stdio."""

    def __init__(self, agent: AgentIdentity) -> None:
        check_agent("agent", agent)
        self._agent = agent

    def agent(self, context: Context[Any, Any]) -> AgentIdentity:  # noqa: ARG002 - the protocol's
        """That agent."""
        return self._agent


class TokenCallers:
    """Agents that are known by bearer tokens; also the verifier that an HTTP server asks.

    Only hashes of the tokens are kept.

    Args:
        agents: The agent of each token.
    """

    def __init__(self, agents: Mapping[str, AgentIdentity]) -> None:
        for token, agent in agents.items():
            check_agent("agent", agent)
            if len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token:
                raise InvalidInputError(
                    "token", "…", "must be at least 16 printable ASCII characters without spaces"
                )
        self._agents = [(_digest(token), agent) for token, agent in agents.items()]

    async def verify_token(self, token: str) -> AccessToken | None:
        """What an HTTP server learns of a token; `None` if it is nobody's."""
        agent = self._of(token)
        if agent is None:
            return None
        return AccessToken(token=token, client_id=agent.agent_id, scopes=[])

    def agent(self, context: Context[Any, Any]) -> AgentIdentity:
        """The agent of the token that came with the request.

        Raises:
            PermissionError: There was none.
        """
        user = getattr(context.request_context.request, "user", None)
        token = user.access_token.token if isinstance(user, AuthenticatedUser) else ""
        agent = self._of(token)
        if agent is None:
            raise PermissionError("no agent is authenticated")
        return agent

    def _of(self, token: str) -> AgentIdentity | None:
        digest = _digest(token)
        found = [agent for known, agent in self._agents if hmac.compare_digest(known, digest)]
        return found[0] if found else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
