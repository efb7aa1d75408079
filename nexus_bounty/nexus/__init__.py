"""Everything that speaks Nexus: client, classification, commit strategies, stores."""
