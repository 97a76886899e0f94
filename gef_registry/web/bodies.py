"""Reading request bodies: bounded in size and time, of one declared content type, JSON that two parsers read alike.

Only `application/json` is taken: a page of another site cannot send that without asking first, and we never say yes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from aiohttp import web

from gef_registry.errors import BadInput
from gef_registry.oci import strict_json
from gef_registry.web.problems import TooLarge, TooSlow, WrongContentType

MAX_JSON_BYTES = 64 << 10
BODY_TIMEOUT_S = 20.0


async def read_body(
    request: web.Request, types: Collection[str], *, max_bytes: int, timeout_s: float = BODY_TIMEOUT_S
) -> bytes:
    """Raises WrongContentType, TooLarge (before reading, when the length is declared), TooSlow."""
    if request.content_type not in types:
        raise WrongContentType(f"the body is {request.content_type[:100]!r}, expected {' or '.join(sorted(types))}")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise WrongContentType("the body is compressed; send it as it is")
    if (request.content_length or 0) > max_bytes:
        raise TooLarge(f"the body has {request.content_length} bytes, at most {max_bytes} are read")
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > max_bytes:
                    raise TooLarge(f"the body has more than {max_bytes} bytes, which is all that is read")
    except TimeoutError as error:
        raise TooSlow(f"the body did not arrive within {timeout_s:g} s") from error
    return bytes(body)


async def read_object(request: web.Request, known: Collection[str]) -> dict[str, Any]:
    """A JSON object with no keys but the known ones. Raises BadInput and what `read_body` raises."""
    body = await read_body(request, ("application/json",), max_bytes=MAX_JSON_BYTES)
    document = strict_json.load_object(body, what="the request", max_bytes=MAX_JSON_BYTES)
    if unknown := sorted(set(document) - set(known)):
        raise BadInput(f"the request has an unknown field {unknown[0][:80]!r}; known: {', '.join(sorted(known))}")
    return document


def text_field(document: dict[str, Any], name: str, *, max_length: int, default: str | None = None) -> str:
    """Raises BadInput: missing (without a default), not a string, too long."""
    value = document.get(name, default)
    if value is None:
        raise BadInput(f"the request lacks {name!r}")
    if not isinstance(value, str):
        raise BadInput(f"{name!r} is a {type(value).__name__}, expected a string")
    if len(value) > max_length:
        raise BadInput(f"{name!r} has {len(value)} characters, at most {max_length} are read")
    return value
