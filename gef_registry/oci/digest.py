"""Content digests, as the OCI image specification defines them (descriptor.md, "Digests").

sha256 and sha512 are parsed and verified; only sha256 is ever admitted, since clients disagree about the other.
Upper-case hex, a missing algorithm and truncated values are refused: a digest has exactly one spelling.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gef_registry.errors import BadInput, VerificationFailed

if TYPE_CHECKING:
    from hashlib import _Hash

_HEX_LENGTH = {"sha256": 64, "sha512": 128}
_PATTERN = re.compile(r"(sha256|sha512):([0-9a-f]+)", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """An algorithm and a lower-case hex value. Make one with `parse` or `of`, never by hand."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """`sha256:<64 hex>` or `sha512:<128 hex>`. Raises BadInput."""
        match = _PATTERN.fullmatch(text)
        if match is None or len(match[2]) != _HEX_LENGTH[match[1]]:
            raise BadInput(f"{text[:160]!r} is not a digest; expected sha256:<64 lower-case hex digits>")
        return cls(match[1], match[2])

    @classmethod
    def of(cls, content: bytes, algorithm: str = "sha256") -> Digest:
        return cls(algorithm, hashlib.new(algorithm, content).hexdigest())

    @classmethod
    def from_hasher(cls, hasher: _Hash) -> Digest:
        return cls(hasher.name, hasher.hexdigest())

    def hasher(self) -> _Hash:
        """A fresh hasher of this digest's algorithm."""
        return hashlib.new(self.algorithm)

    def matches(self, content: bytes) -> bool:
        return hmac.compare_digest(Digest.of(content, self.algorithm).hex, self.hex)

    def require(self, content: bytes, what: str) -> bytes:
        """Returns `content` if this is its digest; raises VerificationFailed naming `what` otherwise."""
        if not self.matches(content):
            raise VerificationFailed(f"{what}: expected {self}, got {Digest.of(content, self.algorithm)}")
        return content

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"
