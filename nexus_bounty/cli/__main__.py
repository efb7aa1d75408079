"""`python -m nexus_bounty.cli`, the same as `nexus-bounty`."""

from nexus_bounty.cli import main

main()
