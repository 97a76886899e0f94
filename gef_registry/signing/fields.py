"""Reads the members of a signed document, strictly: exact member names, exact types, bounded sizes, one spelling.

Everything it dislikes is VerificationFailed, since signed documents are evidence. Times are RFC 3339 in UTC with whole
seconds (`2026-01-31T12:00:00Z`) in documents and POSIX seconds in values.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gef_registry.errors import BadInput, VerificationFailed
from gef_registry.oci import strict_json
from gef_registry.oci.digest import Digest

MAX_TEXT = 2000
MAX_DIGESTS = 256
MAX_TIME = 253_402_300_799  # the end of the year 9999
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def rfc3339(seconds: int) -> str:
    """POSIX seconds as they stand in a document. Raises BadInput outside the years 1970 to 9999."""
    if not 0 <= seconds <= MAX_TIME:
        raise BadInput(f"{seconds} is not a time between 1970 and 9999")
    return datetime.fromtimestamp(seconds, UTC).strftime(_FORMAT)


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object and its name for messages."""

    members: Mapping[str, Any]
    what: str

    @classmethod
    def parse(cls, raw: bytes, *, what: str, max_bytes: int) -> Fields:
        try:
            return cls(strict_json.load_object(raw, what=what, max_bytes=max_bytes, fold_case=True), what)
        except BadInput as error:
            raise VerificationFailed(error.message) from error

    def exactly(self, required: Collection[str], optional: Collection[str] = ()) -> Fields:
        """This, when no required member is missing and no other member is there."""
        missing = sorted(set(required) - set(self.members))
        unknown = sorted(set(self.members) - set(required) - set(optional))
        if missing or unknown:
            problem = f"{missing[0]!r} is missing" if missing else f"unknown member {unknown[0][:100]!r}"
            raise VerificationFailed(f"{self.what}: {problem}")
        return self

    def __contains__(self, name: str) -> bool:
        return name in self.members

    def fields(self, name: str) -> Fields:
        value = self.members.get(name)
        if not isinstance(value, dict):
            raise self._wrong(name, "an object")
        return Fields(value, f"{self.what}: {name}")

    def each(self, name: str, at_most: int) -> Iterator[Fields]:
        """The objects of a list."""
        for position, value in enumerate(self._list(name, at_most)):
            if not isinstance(value, dict):
                raise self._wrong(name, "a list of objects")
            yield Fields(value, f"{self.what}: {name}[{position}]")

    def text(self, name: str, at_most: int = MAX_TEXT) -> str:
        value = self.members.get(name)
        if not isinstance(value, str) or not 1 <= len(value) <= at_most:
            raise self._wrong(name, f"a string of 1 to {at_most} characters")
        return value

    def texts(self, name: str, at_most: int) -> tuple[str, ...]:
        values = self._list(name, at_most)
        if not all(isinstance(value, str) and len(value) <= MAX_TEXT for value in values):
            raise self._wrong(name, "a list of strings")
        return tuple(values)

    def integer(self, name: str, at_least: int = 0) -> int:
        value = self.members.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not at_least <= value < 1 << 62:
            raise self._wrong(name, f"an integer from {at_least}")
        return value

    def flag(self, name: str) -> bool:
        value = self.members.get(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def constant(self, name: str, expected: str) -> None:
        if self.members.get(name) != expected:
            raise self._wrong(name, repr(expected))

    def time(self, name: str) -> int:
        text = self.text(name, 20)
        try:
            seconds = int(datetime.strptime(text, _FORMAT).replace(tzinfo=UTC).timestamp())
        except ValueError as error:
            raise self._wrong(name, "a time such as 2026-01-31T12:00:00Z") from error
        if not 0 <= seconds <= MAX_TIME or rfc3339(seconds) != text:
            raise self._wrong(name, "a time such as 2026-01-31T12:00:00Z")
        return seconds

    def digest(self, name: str) -> Digest:
        return self._digest(name, self.members.get(name))

    def digests(self, name: str) -> tuple[Digest, ...]:
        found = tuple(self._digest(name, value) for value in self._list(name, MAX_DIGESTS))
        if len(set(found)) != len(found):
            raise self._wrong(name, "a list without repetitions")
        return found

    def sha256_of(self, name: str) -> Digest:
        """in-toto's digest set, of which exactly `{"sha256": HEX}` is taken."""
        digest_set = self.fields(name).exactly({"sha256"})
        return digest_set._digest("sha256", f"sha256:{digest_set.text('sha256', 64)}")

    def _digest(self, name: str, value: object) -> Digest:
        try:
            digest = Digest.parse(value) if isinstance(value, str) else None
        except BadInput:
            digest = None
        if digest is None or digest.algorithm != "sha256":
            raise self._wrong(name, "sha256:<64 lower-case hex digits>")
        return digest

    def _list(self, name: str, at_most: int) -> list[Any]:
        value = self.members.get(name)
        if not isinstance(value, list) or len(value) > at_most:
            raise self._wrong(name, f"a list of at most {at_most} entries")
        return value

    def _wrong(self, name: str, expected: str) -> VerificationFailed:
        got = self.members.get(name, "nothing")
        return VerificationFailed(f"{self.what}: {name}: expected {expected}, got {str(got)[:100]!r}")
