"""Where things are in a log's directory, and which of it the log serves.

    checkpoint               the signed note everybody sees                                     served
    tile/<L>/<N>[.p/<W>]     hash tiles                                                         served
    tile/entries/…           entry bundles                                                      served
    statement/<aa>/<hex>     one statement by its id (`aa`: its first byte)                     served as statement/<hex>
    statements/<N>           256 statements in leaf order, a line each, when the bundle is full served, also while partial
    statement-ids/<N>        the statement ids of the same leaves, 32 bytes each                not served
    signed-head              the newest note ever signed, and the newest time ever cosigned     not served
    lock, tmp/               the writer's                                                       not served

`<N>` is written as tlog-tiles writes it: 000, x001/x234/067. Statements are this project's addition to C2SP.
"""

from __future__ import annotations

import re

from gef_registry.errors import BadInput
from gef_registry.transparency.tiles import format_index, parse_index

CHECKPOINT = "checkpoint"
SIGNED_HEAD = "signed-head"
LOCK = "lock"
TEMPORARY = "tmp"
MAX_STATEMENT_BYTES = 1 << 20

_STATEMENT_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)


def require_statement_id(text: str) -> str:
    """64 lower-case hexadecimal digits, or BadInput."""
    if not _STATEMENT_ID.fullmatch(text):
        raise BadInput(f"not a statement id: {text[:80]!r}; expected 64 lower-case hexadecimal digits")
    return text


def statement_file(statement_id: str) -> str:
    """The file of one statement."""
    return f"statement/{require_statement_id(statement_id)[:2]}/{statement_id}"


def statements_path(index: int) -> str:
    """The bundle of the statements of leaves 256 * index and following."""
    return f"statements/{format_index(index)}"


def parse_statements_path(path: str) -> int:
    """The index in a path such as `statements/x001/000`. Raises BadInput."""
    kind, _, index = path.partition("/")
    if kind != "statements":
        raise BadInput(f"not a path of statements: {path[:80]!r}")
    return parse_index(index)


def statement_ids_file(index: int) -> str:
    """The file with the statement ids of leaves 256 * index and following."""
    return f"statement-ids/{format_index(index)}"
