"""A GEF service as values, and the problems that keep labels from describing one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gef_registry.service.catalogue import ProblemKind, Severity

PREFIX = "eudat.gef.service."
OCI_LICENCE = "org.opencontainers.image.licenses"
OCI_AUTHORS = "org.opencontainers.image.authors"
OCI_SOURCE = "org.opencontainers.image.source"
OCI_DOCUMENTATION = "org.opencontainers.image.documentation"
OCI_LABELS = (OCI_LICENCE, OCI_AUTHORS, OCI_SOURCE, OCI_DOCUMENTATION)

InputType = Literal["url", "string"]
Network = Literal["none", "outbound"]


@dataclass(frozen=True, slots=True)
class InputPort:
    """A directory the service reads. `filename` is set exactly for type `string`."""

    number: int
    name: str
    path: str
    type: InputType
    filename: str | None = None
    optional: bool = False
    mediatype: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class OutputPort:
    """A directory the service writes."""

    number: int
    name: str
    path: str
    mediatype: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Resources:
    """What a job of the service needs; None means that the author did not say."""

    cpus: float | None = None
    memory_bytes: int | None = None
    gpus: int | None = None


@dataclass(frozen=True, slots=True)
class SelfTest:
    """One run before admission: (input number, value) pairs and (output number, SHA-256 hex) pairs, by number."""

    number: int
    inputs: tuple[tuple[int, str], ...]
    outputs: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Service:
    """What the labels of one image say, all of it valid by the label contract v1."""

    name: str
    description: str
    version: str
    inputs: tuple[InputPort, ...]
    outputs: tuple[OutputPort, ...]
    topics: tuple[str, ...] = ()
    network: Network = "none"
    resources: Resources = Resources()
    tests: tuple[SelfTest, ...] = ()
    licence: str | None = None
    authors: str | None = None
    source: str | None = None
    documentation: str | None = None


@dataclass(frozen=True, slots=True)
class LabelProblem:
    """One breach of the contract. `label` is the key it is about, empty when it is about the whole image.

    All texts are safe to print: control and bidirectional characters are escaped, long values shortened.
    """

    code: str
    slug: str
    severity: Severity
    message: str
    label: str
    remediation: str
    suggestion: str | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """The outcome: a service exactly when no problem is of severity `high`, and every problem, by code and label."""

    service: Service | None
    problems: tuple[LabelProblem, ...]


class Problems:
    """Collects problems while labels are read."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], LabelProblem] = {}

    def add(self, kind: ProblemKind, label: str, message: str, suggestion: str | None = None) -> None:
        """Notes one problem; `message` and `suggestion` are already printable, `label` is made so."""
        shown = printable(label, limit=256)
        problem = LabelProblem(kind.id, kind.slug, kind.severity, message, shown, kind.remediation, suggestion)
        self._found[(kind.id, shown, message)] = problem

    @property
    def prevent_service(self) -> bool:
        return any(problem.severity == "high" for problem in self._found.values())

    def ordered(self) -> tuple[LabelProblem, ...]:
        """By code, then label, then message: the same for any order of the labels."""
        return tuple(self._found[key] for key in sorted(self._found))


# Bidirectional controls, other invisible formatting that hides text, and line separators. Zero-width (non-)joiners
# stay allowed: Persian, Hindi and emoji need them.
_INVISIBLE = frozenset(
    "\u061c\u200b\u200e\u200f\u2028\u2029\u2060\ufeff\u00ad\u180e"
    + "".join(map(chr, (*range(0x202A, 0x202F), *range(0x2061, 0x2070), *range(0xFFF9, 0xFFFC))))
)


def is_forbidden(character: str) -> bool:
    """Whether a character may not stand in a label: control, bidirectional, invisible, surrogate, nonsense."""
    code = ord(character)
    if code < 0x80:
        return code < 0x20 or code == 0x7F
    return (
        code < 0xA0
        or character in _INVISIBLE
        or 0xD800 <= code <= 0xDFFF
        or 0xE0000 <= code <= 0xE0FFF
        or (code & 0xFFFE) == 0xFFFE
        or 0xFDD0 <= code <= 0xFDEF
    )


def has_forbidden(text: str) -> bool:
    return any(map(is_forbidden, text))


def printable(text: str, *, limit: int = 80) -> str:
    """The text with forbidden characters escaped, at most `limit` characters of it."""
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(f"\\u{{{ord(c):x}}}" if is_forbidden(c) else c for c in shown)


def quoted(text: str) -> str:
    """The text as messages show values."""
    return f'"{printable(text)}"'
