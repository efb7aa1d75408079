"""The client: what can be asked of a Nexus server, and what each answer proves.

From the outside in: `nexus_client` (the methods), `sending` (a request and its repeats), `rpc` (one
attempt), `transport` (the wire), `classification` (the one closed table of verdicts), `quirks` (the
one table of dialects).
"""

from nexus_bounty.nexus.client.files import Etags, File, Page, Paths
from nexus_bounty.nexus.client.nexus_client import NexusClient

__all__ = ["Etags", "File", "NexusClient", "Page", "Paths"]
