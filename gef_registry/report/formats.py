"""All formats a report can be written in, in the order they are offered. A new one is a file and a line here."""

from __future__ import annotations

from gef_registry.errors import BadInput
from gef_registry.report import json, table
from gef_registry.report.format import Format

FORMATS: tuple[Format, ...] = (
    Format("table", "text/plain; charset=utf-8", table.render, for_people=True),
    Format("json", "application/json", json.render),
)


def format_named(name: str) -> Format:
    """Raises BadInput, naming those there are."""
    for known in FORMATS:
        if known.name == name:
            return known
    raise BadInput(f"no report format is called {name[:40]!r}", hint=f"formats: {', '.join(f.name for f in FORMATS)}")
