"""Lists of values for people: columns on a terminal, tab-separated lines for other programs."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence

from gef_registry.cli.terminal import layout
from gef_registry.policy.wording import plain


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints to stdout. All cells are made plain first, so a name from outside cannot steer the terminal."""
    cells = [[plain(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        sys.stdout.write("".join("\t".join(row) + "\n" for row in (list(header), *cells)))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    screen = layout()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in header:
        table.add_column(Text(name))
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    out = io.StringIO()
    Console(file=out, width=screen.width, force_terminal=screen.colour, no_color=not screen.colour).print(table)
    sys.stdout.write(out.getvalue())
