"""Quotes and variables in the words of a Dockerfile, as BuildKit's shell lexer reads them.

Values are three-valued: a text, definitely unset, or unknown (None as a result). `${name:-word}`, `:+`, `:?` and
their forms without colon are computed; pattern forms (`#`, `%`, `/`) give unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum

from gef_registry.errors import BadInput

MAX_VALUE = 8192
MAX_DEPTH = 16

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]")


class Absent(Enum):
    """What is known of a variable without a value."""

    UNSET = "unset"
    UNKNOWN = "unknown"


Lookup = Callable[[str], str | Absent]


def expand(word: str, lookup: Lookup, escape: str) -> str | None:
    """The word without its quotes and with its variables replaced; None when that cannot be told.

    Raises BadInput when the word is malformed, as a build would.
    """
    if "$" not in word and "'" not in word and '"' not in word and escape not in word:
        return word if len(word) <= MAX_VALUE else None
    return _Expansion(word, lookup, escape).until("", depth=0)


class _Text:
    """A growing text that may become unknown; bounded, so that no chain of variables can grow without end."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._known = True

    def add(self, part: str | None) -> None:
        if part is None or self._length + len(part) > MAX_VALUE:
            self._known = False
        elif self._known:
            self._parts.append(part)
            self._length += len(part)

    def value(self) -> str | None:
        return "".join(self._parts) if self._known else None


class _Expansion:
    def __init__(self, word: str, lookup: Lookup, escape: str) -> None:
        self._word = word
        self._lookup = lookup
        self._escape = escape
        self._at = 0

    def until(self, stop: str, *, depth: int) -> str | None:
        """Reads up to and over `stop`, or to the end when that is empty."""
        if depth > MAX_DEPTH:
            raise BadInput(f"variables are nested more than {MAX_DEPTH} deep")
        text = _Text()
        while self._at < len(self._word):
            character = self._word[self._at]
            self._at += 1
            if character == stop:
                return text.value()
            if character == "'":
                text.add(self._single_quoted())
            elif character == '"':
                text.add(self._double_quoted(depth))
            elif character == "$":
                text.add(self._variable(depth))
            elif character == self._escape:
                text.add(self._word[self._at : self._at + 1])
                self._at += 1
            else:
                text.add(character)
        if stop:
            raise BadInput("a `${` has no `}`")
        return text.value()

    def _single_quoted(self) -> str:
        end = self._word.find("'", self._at)
        if end < 0:
            raise BadInput("a single quote is not closed")
        text = self._word[self._at : end]
        self._at = end + 1
        return text

    def _double_quoted(self, depth: int) -> str | None:
        text = _Text()
        while self._at < len(self._word):
            character = self._word[self._at]
            self._at += 1
            if character == '"':
                return text.value()
            if character == "$":
                text.add(self._variable(depth))
                continue
            if character == self._escape and self._word[self._at : self._at + 1] in ('"', "$", self._escape):
                character = self._word[self._at]
                self._at += 1
            text.add(character)
        raise BadInput("a double quote is not closed")

    def _variable(self, depth: int) -> str | None:
        if self._word[self._at : self._at + 1] != "{":
            name = self._name()
            return _text_of(self._lookup(name)) if name else "$"
        self._at += 1
        name = self._name()
        operator = self._word[self._at : self._at + 1]
        self._at += 1
        if not name or not operator:
            raise BadInput("`${` is not followed by a name and `}`")
        if operator == "}":
            return _text_of(self._lookup(name))
        colon = operator == ":"
        if colon:
            operator = self._word[self._at : self._at + 1]
            self._at += 1
        word = self.until("}", depth=depth + 1)
        return _modified(self._lookup(name), operator, word, empty_is_unset=colon)

    def _name(self) -> str:
        match = _NAME.match(self._word, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match[0]


def _text_of(value: str | Absent) -> str | None:
    match value:
        case Absent.UNKNOWN:
            return None
        case Absent.UNSET:
            return ""
        case _:
            return value


def _modified(value: str | Absent, operator: str, word: str | None, *, empty_is_unset: bool) -> str | None:
    if value is Absent.UNKNOWN or operator not in ("-", "+", "?"):
        return None
    is_set = isinstance(value, str) and not (empty_is_unset and not value)
    if operator == "+":
        return word if is_set else ""
    if is_set or operator == "-":
        return _text_of(value) if is_set else word
    raise BadInput("a variable that the build requires is not set")
