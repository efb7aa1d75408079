"""Bounties as tools for agents, over the Model Context Protocol.

    nexus-bounty mcp --agent alice                  on stdio, for one agent
    nexus-bounty mcp --http --tokens tokens.json    on http://127.0.0.1:2027/mcp, for several

Every tool that changes something answers with the outcome as a value: `committed`,
`did_not_happen`, `happened_still_owed`, `unknown` or `other_operation`, each with what to do next.
A call that is repeated with the same arguments is the same operation, and is not done twice.

`nexus_bounty_mcp.server.make_server` makes the server for programs that run it themselves.
"""

from __future__ import annotations

__all__: list[str] = []
"""A command needs none of it imported with the package: what there is is in its modules."""
