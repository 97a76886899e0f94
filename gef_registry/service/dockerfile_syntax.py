"""The outer grammar of a Dockerfile: instructions with their lines, continuations, comments and heredocs.

Follows the Dockerfile reference and BuildKit's parser: parser directives stand at the very top, comment and
empty lines inside a continued instruction vanish, only ADD, COPY and RUN take heredocs.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

from gef_registry.errors import BadInput

MAX_BYTES = 1 << 20
MAX_INSTRUCTIONS = 10_000

_DIRECTIVE = re.compile(r"#[ \t]*([A-Za-z][A-Za-z0-9]*)[ \t]*=[ \t]*(.*)")
_DIRECTIVES = ("escape", "syntax", "check")
_HEREDOC = re.compile(r"[0-9]*<<(-?)([^<]+)")
_WITH_HEREDOC = ("ADD", "COPY", "RUN")
_SPACES = " \t\v\f\r"


@dataclass(frozen=True, slots=True)
class DockerfileNote:
    """Something about a line: why a build would fail there, or what cannot be told before the build."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its keyword in capitals and its text, continued lines joined, heredocs left out."""

    keyword: str
    text: str
    line: int
    _starts: tuple[int, ...]
    _lines: tuple[int, ...]

    def line_at(self, offset: int) -> int:
        """The line of the file on which a character of `text` stands."""
        return self._lines[max(0, bisect_right(self._starts, offset) - 1)]


@dataclass(frozen=True, slots=True)
class Script:
    """All instructions, the escape character, the named frontend if any, and what was wrong."""

    instructions: tuple[Instruction, ...]
    escape: str
    frontend: str | None
    problems: tuple[DockerfileNote, ...]


def read_script(text: str) -> Script:
    """Splits a Dockerfile into instructions. Raises BadInput when it is too large or cannot be text."""
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise BadInput(f"the Dockerfile is larger than {MAX_BYTES} bytes")
    if "\0" in text:
        raise BadInput("the file holds zero bytes, so it is no Dockerfile")
    lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
    return _Reader(lines).read()


class _Reader:
    """Walks the lines once, from the top."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._next = 0
        self._problems: list[DockerfileNote] = []
        self._directives: dict[str, str] = {}

    def read(self) -> Script:
        self._read_directives()
        escape = self._directives.get("escape", "\\")
        if escape not in ("\\", "`"):
            self._problems.append(DockerfileNote(1, "the escape directive takes a backslash or a backtick"))
            escape = "\\"
        continuation = re.compile(rf"(?:^|(?<=[^{re.escape(escape)}])){re.escape(escape)}[ \t]*$")
        instructions: list[Instruction] = []
        while (instruction := self._read_instruction(continuation)) is not None:
            if len(instructions) == MAX_INSTRUCTIONS:
                raise BadInput(f"the Dockerfile has more than {MAX_INSTRUCTIONS} instructions")
            instructions.append(instruction)
            self._skip_heredocs(instruction, escape)
        return Script(tuple(instructions), escape, self._directives.get("syntax"), tuple(self._problems))

    def _read_directives(self) -> None:
        for line in self._lines:
            match = _DIRECTIVE.fullmatch(line.strip())
            if match is None or match[1].lower() not in _DIRECTIVES:
                return
            if match[1].lower() in self._directives:
                self._problems.append(DockerfileNote(self._next + 1, f"only one {match[1]} directive is allowed"))
            self._directives.setdefault(match[1].lower(), match[2].strip())
            self._next += 1

    def _read_instruction(self, continuation: re.Pattern[str]) -> Instruction | None:
        """The next instruction with its continued lines, or None at the end."""
        pieces: list[str] = []
        starts: list[int] = []
        numbers: list[int] = []
        length = 0
        while self._next < len(self._lines):
            line = self._lines[self._next]
            self._next += 1
            stripped = line.strip(_SPACES)
            if not stripped or stripped.startswith("#"):
                continue
            piece, continued = continuation.subn("", line if pieces else line.lstrip(_SPACES), count=1)
            pieces.append(piece)
            starts.append(length)
            numbers.append(self._next)
            length += len(piece)
            if not continued:
                break
        return _instruction("".join(pieces), starts, numbers) if pieces else None

    def _skip_heredocs(self, instruction: Instruction, escape: str) -> None:
        """Moves past the bodies of the heredocs an instruction opens."""
        keyword, text = instruction.keyword, instruction.text
        if keyword == "ONBUILD":
            keyword, _, text = text.lstrip(_SPACES).partition(" ")
        if keyword.upper() not in _WITH_HEREDOC or "<<" not in text:
            return
        for _, word in split_words(text, escape):
            match = _HEREDOC.fullmatch(word)
            if match is None:
                continue
            name = match[2].replace('"', "").replace("'", "")
            while self._next < len(self._lines):
                line = self._lines[self._next]
                self._next += 1
                if (line.lstrip("\t") if match[1] else line) == name:
                    break
            else:
                self._problems.append(DockerfileNote(instruction.line, f"the heredoc {name[:40]} does not end"))
                return


def _instruction(text: str, starts: list[int], numbers: list[int]) -> Instruction:
    keyword = re.split(rf"[{_SPACES}]+", text, maxsplit=1)[0]
    rest = text[len(keyword) :]
    body = rest.lstrip(_SPACES)
    shift = len(text) - len(body)
    body = body.rstrip(_SPACES)
    return Instruction(keyword.upper(), body, numbers[0], tuple(max(0, s - shift) for s in starts), tuple(numbers))


def split_words(text: str, escape: str) -> list[tuple[int, str]]:
    """(offset, word) of each word as it is written: quotes and escapes keep spaces together and stay in the word."""
    words: list[tuple[int, str]] = []
    start: int | None = None
    quote = ""
    position = 0
    while position < len(text):
        character = text[position]
        if start is None and not character.isspace():
            start = position
        if start is not None:
            if character == escape and quote != "'":
                position += 1
            elif quote:
                quote = "" if character == quote else quote
            elif character in "'\"":
                quote = character
            elif character.isspace():
                words.append((start, text[start:position]))
                start = None
        position += 1
    if start is not None:
        words.append((start, text[start:]))
    return words
