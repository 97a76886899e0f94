"""Pages for people, rendered here; no scripts, no cookies. Whoever may see a page is decided as in the API."""
