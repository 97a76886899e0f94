"""Versions of services: SemVer 2.0.0, or the short forms `N` and `N.N` that 2018 services use.

Short forms are padded with zeros for the order. Build metadata does not count for precedence (SemVer 10).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gef_registry.errors import BadInput

MAX_LENGTH = 64

_NUMBER = r"(?:0|[1-9][0-9]*)"
_IDENTIFIER = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})"
    rf"(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?"
    r"(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)
_SHORT = re.compile(rf"({_NUMBER})(?:\.({_NUMBER}))?")
_LOOSE = re.compile(
    r"\s*(?:v|version|release)?[-_. ]?"
    r"([0-9]{1,9})(?:\.([0-9]{1,9}))?(?:\.([0-9]{1,9}))?(?:[-_.]([0-9A-Za-z.-]+))?",
    re.IGNORECASE | re.ASCII,
)

Precedence = tuple[int, int, int, int, tuple[tuple[int, int, str], ...]]


@dataclass(frozen=True, slots=True)
class Version:
    """A parsed version. `text` is what the author wrote; order is by `precedence`."""

    text: str
    major: int
    minor: int
    patch: int
    prerelease: tuple[str, ...] = ()
    build: str = ""

    @property
    def precedence(self) -> Precedence:
        """Sorts as SemVer 11 says: numbers, then pre-release below release, identifiers numeric before text."""
        identifiers = tuple((0, int(i), "") if i.isdigit() else (1, 0, i) for i in self.prerelease)
        return (self.major, self.minor, self.patch, 0 if self.prerelease else 1, identifiers)


def parse_version(text: str) -> Version:
    """Parses SemVer, `N` or `N.N`. Raises BadInput."""
    if len(text) <= MAX_LENGTH:
        if match := _SEMVER.fullmatch(text):
            major, minor, patch, prerelease, build = match.groups()
            parts = tuple(prerelease.split(".")) if prerelease else ()
            return Version(text, int(major), int(minor), int(patch), parts, build or "")
        if match := _SHORT.fullmatch(text):
            return Version(text, int(match[1]), int(match[2] or 0), 0)
    raise BadInput(
        f"not a version: {text[:MAX_LENGTH]!r}; expected SemVer (1.0.0, 1.0.0-rc.1), N or N.N",
        hint="write MAJOR.MINOR.PATCH",
    )


def is_version(text: str) -> bool:
    try:
        parse_version(text)
    except BadInput:
        return False
    return True


def suggest_version(text: str) -> str | None:
    """A valid version near to the text: `v1.0`, `01.2`, `1.0-rc1`, `1.2.3.4`. None when there is no good guess."""
    match = _LOOSE.match(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        return None
    numbers = [str(int(n)) for n in match.groups()[:3] if n is not None]
    candidate = ".".join(numbers)
    if match[4]:
        suffix = match[4].strip(".-")
        candidate = ".".join((*numbers, "0", "0")[:3]) + ("+" if suffix.isdigit() else "-") + suffix
    return candidate if is_version(candidate) else None


def highest(texts: Iterable[str]) -> str | None:
    """The version with the highest precedence; unparsable ones are left out, ties are broken by their text."""
    parsed = [parse_version(text) for text in texts if is_version(text)]
    if not parsed:
        return None
    return max(parsed, key=lambda version: (version.precedence, version.text)).text


def differs_from_tag(version: str, tag: str) -> bool:
    """Whether a tag names another version than the version label does.

    A leading `v` and the padding of short forms make no difference; `_` stands for the `+` that tags may not hold.
    """
    if tag in (version, version.replace("+", "_")):
        return False
    bare = tag.removeprefix("v").replace("_", "+")
    if not (is_version(version) and is_version(bare)):
        return True
    one, other = parse_version(version), parse_version(bare)
    return one.precedence != other.precedence or one.build != other.build
