"""The commands, one a file of its name: its place in the overview, its examples, its work."""
