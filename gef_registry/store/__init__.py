"""Records on disk: SQLite (default) and PostgreSQL behind the ports of the rooms above."""
