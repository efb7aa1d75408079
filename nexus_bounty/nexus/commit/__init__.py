"""How a document is committed: strategies, and what each attempt ends in."""
