"""JSON that two parsers cannot read differently.

Duplicate keys (also those that differ only in letter case, since Go matches case-insensitively), invalid UTF-8, NaN
and infinities (also `1e999`), lone surrogates, integers of more than 100 digits, excessive depth and size are refused.
Numbers stay integers or floats as written.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from gef_registry.errors import BadInput

MAX_DEPTH = 64
_MAX_DIGITS = 100
# A string, or what is left of the document after an unclosed quote (which the parser refuses): linear on any input.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_SURROGATE = re.compile("[\ud800-\udfff]")


def loads(content: bytes, *, what: str, max_bytes: int = 4 << 20, fold_case: bool = False) -> Any:
    """Parses one JSON document. `fold_case` also refuses keys that collide ignoring case. Raises BadInput naming `what`."""
    if len(content) > max_bytes:
        raise BadInput(f"{what}: {len(content)} bytes, at most {max_bytes} are read")
    _check_depth(content, what)
    try:
        text = content.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_pairs(what, fold_case),
            parse_constant=_constant(what),
            parse_int=_integer(what),
            parse_float=_float(what),
        )
    except UnicodeDecodeError as error:
        raise BadInput(f"{what}: not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise BadInput(f"{what}: not JSON at line {error.lineno} column {error.colno}: {error.msg}") from error
    if "\\u" in text:
        _check_surrogates(value, what)
    return value


def load_object(content: bytes, *, what: str, max_bytes: int = 4 << 20, fold_case: bool = False) -> dict[str, Any]:
    """As `loads`, for a document that must be an object."""
    value = loads(content, what=what, max_bytes=max_bytes, fold_case=fold_case)
    if not isinstance(value, dict):
        raise BadInput(f"{what}: expected a JSON object, got {type(value).__name__}")
    return value


def canonical(value: Any) -> bytes:
    """RFC 8785 for what this project signs: objects, arrays, ASCII-keyed strings, integers, booleans, null.

    Floats are refused: their canonical form is the one part of the RFC that implementations get wrong.
    """
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _pairs(what: str, fold_case: bool) -> Any:
    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        keys = {key.casefold() for key in result} if fold_case else result.keys()
        if len(keys) != len(pairs):
            raise BadInput(f"{what}: a key occurs twice in one object: {_first_duplicate(pairs, fold_case)!r}")
        return result

    return build


def _first_duplicate(pairs: list[tuple[str, Any]], fold_case: bool) -> str:
    seen: set[str] = set()
    for key, _ in pairs:
        folded = key.casefold() if fold_case else key
        if folded in seen:
            return key[:100]
        seen.add(folded)
    return ""


def _constant(what: str) -> Any:
    def refuse(name: str) -> None:
        raise BadInput(f"{what}: {name} is not JSON")

    return refuse


def _integer(what: str) -> Any:
    def read(text: str) -> int:
        if len(text) > _MAX_DIGITS:
            raise BadInput(f"{what}: an integer of {len(text)} digits, at most {_MAX_DIGITS} are read")
        return int(text)

    return read


def _float(what: str) -> Any:
    def read(text: str) -> float:
        value = float(text)
        if math.isinf(value):
            raise BadInput(f"{what}: the number {text[:40]} is out of range")
        return value

    return read


def _check_depth(content: bytes, what: str) -> None:
    """Bounds nesting before the recursive parser sees it, in whole-document passes: megabytes of brackets are quick.

    Strings go, then everything but brackets; each round removes the innermost pairs, so what is left after as many
    rounds as levels are allowed is too deep, or was never closed."""
    if content.count(b"[") + content.count(b"{") <= MAX_DEPTH:
        return
    brackets = _STRING.sub(b"", content).translate(_ONE_KIND, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        remaining = brackets.replace(b"[]", b"")
        if len(remaining) == len(brackets):
            break
        brackets = remaining
    if b"[]" in brackets or brackets.count(b"[") > MAX_DEPTH:
        raise BadInput(f"{what}: nested deeper than {MAX_DEPTH} levels")


def _check_surrogates(value: Any, what: str) -> None:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if _SURROGATE.search(item):
                raise BadInput(f"{what}: a string holds half of a surrogate pair")
        elif isinstance(item, dict):
            stack.extend(item.keys())
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _refuse_floats(value: Any) -> None:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, float):
            raise BadInput("a signed document holds a floating-point number")
        if isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list | tuple):
            stack.extend(item)
