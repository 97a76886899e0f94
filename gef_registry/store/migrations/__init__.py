"""Alembic's folder: `env.py` runs the scripts of `versions/` in order."""
