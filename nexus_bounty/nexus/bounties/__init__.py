"""NexusBountyStore: bounties, their status index and rewards, on one zone of a Nexus server."""
