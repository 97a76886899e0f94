"""Text from an image, made fit to be read by a person: on one line, of bounded length, nothing hidden in it."""

from __future__ import annotations

import unicodedata

# Controls, formatting (bidirectional, zero-width), lone surrogates, private use, unassigned, line and paragraph separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Zero-width (non-)joiners: Persian, Hindi and emoji need them, and they hide nothing.
_JOINERS = frozenset("\u200c\u200d")


def plain(text: str, *, limit: int = 2000) -> str:
    """The text with every invisible character written as an escape, at most `limit` characters of it."""
    if text.isascii() and text.isprintable() and len(text) <= limit:
        return text
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(_escaped(character) for character in shown)


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN or character in _JOINERS:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{{{code:x}}}"
