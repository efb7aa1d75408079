"""The client: what can be asked of a Nexus server, and what each answer proves.

From the outside in: `nexus_client` (the methods), `rpc` (one request), `transport` (the wire),
`classification` (the one closed table of verdicts), `quirks` (the one table of dialects), `retry`
(when to ask again).
"""

from nexus_bounty.nexus.client.nexus_client import Etags, File, NexusClient, Page, Paths

__all__ = ["Etags", "File", "NexusClient", "Page", "Paths"]
