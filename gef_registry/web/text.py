"""Text of strangers made safe to show: no control, bidirectional or invisible characters (Trojan Source, terminal escapes)."""

from __future__ import annotations

import unicodedata

# Invisible though not of category Cf: fillers that render as nothing.
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
# Zero-width (non-)joiners: Persian, Hindi and emoji need them, and they hide nothing.
_JOINERS = frozenset("\u200c\u200d")
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def plain(text: str) -> str:
    """The text on one line, with what cannot be seen or would rearrange its surroundings replaced by a space or dropped."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in "\n\r\t":
        return " "
    if character in _JOINERS:
        return character
    if character in _FILLERS or unicodedata.category(character) in _UNSAFE:
        return ""
    return character


def is_web_link(text: object) -> bool:
    """May this stand in an `href`? Only http and https, nothing invisible."""
    return isinstance(text, str) and text.lower().startswith(("https://", "http://")) and plain(text) == text
