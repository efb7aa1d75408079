"""Which commit strategy a zone is written with: probed, pinned in the zone, chosen once."""
