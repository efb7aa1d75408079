"""MockNexus: a Nexus server in memory, faithful to four releases, with faults and an oracle."""

from nexus_bounty.mock.faults import ALL_FAULTS, Fault, FaultKind, RequestMatch
from nexus_bounty.mock.files import FileEntry
from nexus_bounty.mock.nexus import MockNexus
from nexus_bounty.mock.oracle import Applied, ReceivedRequest
from nexus_bounty.mock.personality import PERSONALITIES, Personality, Release
from nexus_bounty.mock.plan import FaultPlan, FaultSource, SeededFaults
from nexus_bounty.mock.proxy import FaultProxy
from nexus_bounty.mock.server import running, serve
from nexus_bounty.mock.transport import MockTransport

__all__ = [
    "ALL_FAULTS",
    "PERSONALITIES",
    "Applied",
    "Fault",
    "FaultKind",
    "FaultPlan",
    "FaultProxy",
    "FaultSource",
    "FileEntry",
    "MockNexus",
    "MockTransport",
    "Personality",
    "ReceivedRequest",
    "Release",
    "RequestMatch",
    "SeededFaults",
    "running",
    "serve",
]
