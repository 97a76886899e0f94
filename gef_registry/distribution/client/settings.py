"""How the registry client behaves: times, bounds, and whom it trusts with what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gef_registry.distribution.addresses import AddressPolicy

# Registries whose token endpoint is known to live on another host.
KNOWN_REALMS: Mapping[str, tuple[str, ...]] = MappingProxyType({"docker.io": ("auth.docker.io",)})


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """`plain_http`: hosts (`name[:port]`) spoken to without TLS; loopback may be without being named.
    `realms`: registry host -> other hosts (`name[:port]`) that may see its credentials, beside itself."""

    plain_http: frozenset[str] = frozenset()
    realms: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: KNOWN_REALMS, hash=False)
    addresses: AddressPolicy | None = None
    ca_file: str | None = None
    user_agent: str = "gef-registry"
    connect_timeout_s: float = 10
    answer_timeout_s: float = 60
    manifest_patience_s: float = 300  # a gate judges while the PUT waits
    silence_timeout_s: float = 60  # between two pieces of a body
    deadline_s: float = 180  # a small request with all its retries
    min_bytes_per_s: int = 32 << 10  # slower transfers are given up
    max_attempts: int = 4
    retry_base_s: float = 0.5
    retry_cap_s: float = 20
    max_retry_after_s: float = 60  # asked to wait longer, the client gives up at once
    max_redirects: int = 5
    chunk_bytes: int = 8 << 20  # of a chunked upload; held in memory

    def transfer_deadline_s(self, size: int) -> float:
        """The longest a body of `size` bytes may take, retries included."""
        return self.deadline_s + size / self.min_bytes_per_s
