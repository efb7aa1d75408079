"""NexusClaimStore: leases in files on Nexus, at most one active claim a target."""
