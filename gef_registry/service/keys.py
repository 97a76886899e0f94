"""Which label a key is: one of the contract's, or a mistake with a specific suggestion.

A mistaken key whose meaning is plain (wrong case, a port number written `01`) still yields its components, so
that one mistake is one finding and not a cascade of missing labels.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from gef_registry.service import catalogue
from gef_registry.service.grammar import is_port_number
from gef_registry.service.model import (
    OCI_AUTHORS,
    OCI_DOCUMENTATION,
    OCI_LICENCE,
    OCI_SOURCE,
    PREFIX,
    Problems,
    quoted,
)

INPUT_ATTRIBUTES = ("name", "path", "type", "filename", "optional", "mediatype", "description")
OUTPUT_ATTRIBUTES = ("name", "path", "mediatype", "description")
UNUSED_OUTPUT_ATTRIBUTES = ("type", "filename")

# The keys of the contract below the prefix; N stands for a number.
FORMS: tuple[tuple[str, ...], ...] = (
    ("name",), ("description",), ("version",), ("network",), ("topic", "N"),
    ("resources", "cpus"), ("resources", "memory"), ("resources", "gpus"),
    *(("input", "N", attribute) for attribute in INPUT_ATTRIBUTES),
    *(("output", "N", attribute) for attribute in (*OUTPUT_ATTRIBUTES, *UNUSED_OUTPUT_ATTRIBUTES)),
    ("test", "N", "input", "N"), ("test", "N", "output", "N", "sha256"),
)  # fmt: skip

# Words people use for what OCI already has a label for.
_ELSEWHERE = {
    "licence": OCI_LICENCE, "license": OCI_LICENCE, "licences": OCI_LICENCE, "licenses": OCI_LICENCE,
    "author": OCI_AUTHORS, "authors": OCI_AUTHORS, "maintainer": OCI_AUTHORS, "creator": OCI_AUTHORS,
    "contact": OCI_AUTHORS, "source": OCI_SOURCE, "repository": OCI_SOURCE, "code": OCI_SOURCE,
    "documentation": OCI_DOCUMENTATION, "docs": OCI_DOCUMENTATION, "homepage": OCI_DOCUMENTATION,
    "url": OCI_DOCUMENTATION,
}  # fmt: skip

# What an incomplete key most likely wants to be: the components to append.
_COMPLETIONS: dict[tuple[str, ...], str] = {
    ("input",): "1.path", ("input", "N"): "path", ("output",): "1.path", ("output", "N"): "path",
    ("topic",): "1", ("resources",): "memory", ("test",): "1.input.1", ("test", "N"): "input.1",
    ("test", "N", "input"): "1", ("test", "N", "output"): "1.sha256", ("test", "N", "output", "N"): "sha256",
}  # fmt: skip

# Access images of 2016 (`input_directory.path`) and a workflow generator (`input_ports_no`, `input_port.%u.name`).
_HISTORIC = re.compile(r"(input|output)_(?:director(?:y|ies)|ports?)(?:_no)?(?:\..*)?")

_NEAR_PREFIX = re.compile(r"eudat[._-]gef(?:[._-]|$)")
_MAX_GUESSED_KEY = 64
_MAX_GUESSES = 64


@dataclass(frozen=True, slots=True)
class Known:
    """A key of the contract: its components, lower case, numbers as spelled; `exact` when it is written exactly."""

    key: str
    components: tuple[str, ...]
    exact: bool


def belongs_to_contract(key: str) -> bool:
    """Whether a key is meant to be one of ours, also when it is misspelled in its prefix."""
    return _NEAR_PREFIX.match(key[: 2 * len(PREFIX)].strip().lower()) is not None


def recognise(keys: Iterable[str], problems: Problems) -> list[Known]:
    """The keys of the contract among `keys`; every other one is a problem."""
    found: list[Known] = []
    guesses = 0
    for key in keys:
        lowered = key.strip().lower()
        if not lowered.startswith(PREFIX):
            problems.add(
                catalogue.UNKNOWN_LABEL, key, f"{quoted(key)} does not begin with {PREFIX}", _suggest_prefixed(lowered)
            )
            continue
        components = tuple(lowered[len(PREFIX) :].split("."))
        if not _is_form(components):
            guesses += 1
            _explain(key, components, problems, may_guess=guesses <= _MAX_GUESSES)
            continue
        exact = key == lowered
        if not exact:
            problems.add(
                catalogue.WRONG_CASE, key, f"{quoted(key)} is not written exactly", PREFIX + ".".join(components)
            )
        found.append(Known(key, components, exact))
    return found


def canonical_number(spelled: str) -> int | None:
    """The number from 1 to 99 a spelling means (`01`, `+1` and `１` mean 1), or None when it means none of them."""
    digits = "".join(str(unicodedata.decimal(c, "?")) for c in spelled.strip().removeprefix("+")).lstrip("0")
    return int(digits) if is_port_number(digits) else None


def _fits(components: tuple[str, ...], form: tuple[str, ...]) -> bool:
    """Whether components have the shape of a form; any text stands in a number's place."""
    return len(components) == len(form) and all(f in ("N", c) for c, f in zip(components, form, strict=True))


def _is_form(components: tuple[str, ...]) -> bool:
    return any(_fits(components, form) for form in FORMS)


def _explain(key: str, components: tuple[str, ...], problems: Problems, *, may_guess: bool) -> None:
    """Files the one problem a key has that is none of the contract's."""
    if match := _HISTORIC.fullmatch(".".join(components)):
        message = f"{quoted(key)} is a dialect that was never read"
        problems.add(catalogue.HISTORIC_DIALECT, key, message, _suggest_historic(match[1], components))
        return
    for length in range(1, len(components)):
        if _is_form(components[:length]):
            meant = PREFIX + ".".join(components[:length])
            message = f"{quoted(key)} goes on after {quoted(components[length - 1])}"
            problems.add(catalogue.EXTRA_COMPONENT, key, message, meant)
            return
    for form, rest in _COMPLETIONS.items():
        if _fits(components, form):
            meant = PREFIX + ".".join(components)
            problems.add(catalogue.INCOMPLETE_KEY, key, f"{quoted(key)} names no attribute", f"{meant}.{rest}")
            return
    suggestion = _suggest(components) if may_guess else None
    problems.add(catalogue.UNKNOWN_LABEL, key, f"{quoted(key)} is not part of the label contract", suggestion)


def _suggest_historic(direction: str, components: tuple[str, ...]) -> str | None:
    """`input_directory.path` → `input.1.path`, `input_port.2.name` → `input.2.name`; a count needs no label."""
    if components[0].endswith("_no"):
        return f"{PREFIX}{direction}.1.path"
    attributes = OUTPUT_ATTRIBUTES if direction == "output" else INPUT_ATTRIBUTES
    attribute = components[-1] if components[-1] in attributes else "path"
    number = next((c for c in components[1:] if is_port_number(c)), "1")
    return f"{PREFIX}{direction}.{number}.{attribute}"


def _suggest(components: tuple[str, ...]) -> str | None:
    """The key of the contract, or of OCI, nearest to an unknown one."""
    if elsewhere := _ELSEWHERE.get(components[0]):
        return elsewhere
    text = ".".join(components)
    if len(text) > _MAX_GUESSED_KEY:
        return None
    numbers = [c for c in components if c.isdecimal()]
    shape = ".".join("N" if c.isdecimal() else c for c in components)
    candidates = [".".join(form) for form in FORMS if form[0] != "output" or form[-1] not in UNUSED_OUTPUT_ATTRIBUTES]
    nearest = difflib.get_close_matches(shape, candidates, n=1, cutoff=0.6)
    if not nearest:
        return None
    suggestion = [
        (numbers.pop(0) if numbers and is_port_number(numbers[0]) else "1") if part == "N" else part
        for part in nearest[0].split(".")
    ]
    return PREFIX + ".".join(suggestion)


def _suggest_prefixed(lowered: str) -> str | None:
    """A correct key for one whose prefix is misspelled: what follows the prefix is tried as it stands."""
    parts = re.split(r"[._\-]", lowered[: len(PREFIX) + _MAX_GUESSED_KEY])
    rest = [part for part in parts[2:] if part not in ("service", "services", "srv")]
    if rest and _is_form(tuple(rest)):
        return PREFIX + ".".join(rest)
    return _suggest(tuple(rest)) if rest and any(rest) else PREFIX + "name"
