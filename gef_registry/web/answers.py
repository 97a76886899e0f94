"""Successful answers: JSON, and how long others may keep them."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

# Readable from any site, without credentials: what is public is meant to be read by programs everywhere.
CROSS_ORIGIN = {"Access-Control-Allow-Origin": "*"}
REVALIDATE = {"Cache-Control": "no-cache"}
PRIVATE = {"Cache-Control": "private, no-store", "Vary": "Authorization"}
FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}


def json_answer(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    body = json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")
    return web.Response(status=status, body=body, content_type="application/json", charset="utf-8", headers=headers)


def public(value: Any) -> web.Response:
    return json_answer(value, headers={**CROSS_ORIGIN, **REVALIDATE})


def private(value: Any, *, status: int = 200, location: str | None = None) -> web.Response:
    return json_answer(value, status=status, headers={**PRIVATE, **({"Location": location} if location else {})})
