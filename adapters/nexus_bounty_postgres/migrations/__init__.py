"""How the tables came to be, one step a file; run by alembic, which reads `env.py`."""
