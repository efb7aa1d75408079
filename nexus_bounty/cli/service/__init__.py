"""What every command that runs for long has in common: a clean stop, its health, its log."""
