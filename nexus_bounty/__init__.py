"""Bounties with escrowed credits on a Nexus server, with provable outcomes for every write."""
