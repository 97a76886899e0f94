"""Facts: what was observed about an image; a function of its digest (and of scanner and database version)."""
