"""YAML that means one thing: a bounded, strict reading that remembers where everything stands.

YAML 1.2 core scalars only (`off` and `no` are strings, a date is a string). Refused: duplicate keys, anchors and
aliases, explicit tags, several documents, keys that are not strings, floats, too many bytes, levels or nodes.
The reader works on events with a stack of its own, so depth never costs recursion.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from gef_registry.errors import BadInput

MAX_BYTES = 256 << 10
MAX_DEPTH = 12
MAX_NODES = 20_000

Path = tuple[str | int, ...]
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_CONSTANTS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Position:
    """Line and column, both from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """The value and, for each path into it, the place of its key (or of its value in a list)."""

    what: str
    value: Any
    positions: dict[Path, Position]

    def at(self, path: Path) -> Position:
        """The place of a path; of the nearest parent that has one when the path itself is missing."""
        while path and path not in self.positions:
            path = path[:-1]
        return self.positions.get(path, Position(1, 1))

    def error(self, path: Path, problem: str, *, hint: str | None = None) -> BadInput:
        """A BadInput that names the document, the place and the path."""
        return self.error_at(self.at(path), f"{dotted(path)}: {problem}" if path else problem, hint=hint)

    def day(self, path: Path, text: str) -> datetime.date:
        """`2027-01-31`, a day that exists. Raises BadInput."""
        try:
            return datetime.date.fromisoformat(text)
        except ValueError as error:
            raise self.error(path, f"{text[:40]} is not a day of the calendar") from error

    def error_at(self, position: Position, problem: str, *, hint: str | None = None) -> BadInput:
        return BadInput(f"{self.what}, {position}: {problem}", hint=hint)


def dotted(path: Path) -> str:
    """`waivers[2].match.path`"""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part[:100]}" if text else part[:100]
    return text


def read_yaml(raw: bytes, *, what: str) -> YamlDocument:
    """Parses one YAML document. Raises BadInput with line and column."""
    if len(raw) > MAX_BYTES:
        raise BadInput(f"{what}: {len(raw)} bytes, at most {MAX_BYTES} are read")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{what}: not UTF-8 at byte {error.start}") from error
    reader = _Reader(what)
    try:
        for event in _events(text):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", {_position(mark)}" if mark else ""
        raise BadInput(f"{what}{place}: not YAML: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        raise BadInput(f"{what}: character {error.position + 1} is not allowed in YAML") from error
    if reader.documents == 0:
        raise BadInput(f"{what}: the file is empty")
    return YamlDocument(what, reader.value, reader.positions)


def _events(text: str) -> Iterator[yaml.Event]:
    yield from yaml.parse(text, Loader=yaml.SafeLoader)


def _position(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1)


@dataclass(slots=True)
class _Frame:
    """A collection being filled; `key` waits for its value in a mapping."""

    value: dict[str, Any] | list[Any]
    path: Path
    key: str | None = None


@dataclass(slots=True)
class _Reader:
    what: str
    value: Any = None
    documents: int = 0
    nodes: int = 0
    positions: dict[Path, Position] = field(default_factory=dict)
    _stack: list[_Frame] = field(default_factory=list)

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self.documents += 1
                if self.documents > 1:
                    raise self._refuse(event, "a second document begins here; expected one")
            case yaml.AliasEvent():
                raise self._refuse(event, "aliases are not read; write the value out")
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._stack.pop()
            case yaml.NodeEvent():
                self._node(event)

    def _node(self, event: yaml.NodeEvent) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self._refuse(event, f"more than {MAX_NODES} values")
        if event.anchor is not None:
            raise self._refuse(event, "anchors are not read; write the value out")
        if getattr(event, "tag", None) is not None:
            raise self._refuse(event, "tags are not read; remove it")
        frame = self._stack[-1] if self._stack else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is None:
            self._key(frame, event)
            return
        if isinstance(event, yaml.ScalarEvent):
            self._put(frame, self._scalar(event), event)
            return
        value: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        path = self._put(frame, value, event)
        if len(self._stack) >= MAX_DEPTH:
            raise self._refuse(event, f"nested deeper than {MAX_DEPTH} levels")
        self._stack.append(_Frame(value, path))

    def _key(self, frame: _Frame, event: yaml.NodeEvent) -> None:
        key = self._scalar(event) if isinstance(event, yaml.ScalarEvent) else None
        if not isinstance(key, str):
            raise self._refuse(event, "a key must be a string")
        if key in frame.value:
            raise self._refuse(event, f"the key {key[:100]!r} occurs twice")
        frame.key = key
        self.positions[(*frame.path, key)] = _position(event.start_mark)

    def _put(self, frame: _Frame | None, value: Any, event: yaml.NodeEvent) -> Path:
        """Stores a value where it belongs and returns its path."""
        if frame is None:
            self.value = value
            self.positions[()] = _position(event.start_mark)
            return ()
        if isinstance(frame.value, dict):
            assert frame.key is not None
            path = (*frame.path, frame.key)
            frame.value[frame.key], frame.key = value, None
            return path
        path = (*frame.path, len(frame.value))
        self.positions[path] = _position(event.start_mark)
        frame.value.append(value)
        return path

    def _scalar(self, event: yaml.ScalarEvent) -> str | int | bool | None:
        text: str = event.value
        if event.style is not None:  # quoted or block: always a string
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            raise self._refuse(event, f"{text[:40]} is neither a whole number nor a string; quote it")
        return text

    def _refuse(self, event: yaml.Event, problem: str) -> BadInput:
        return BadInput(f"{self.what}, {_position(event.start_mark)}: {problem}")
