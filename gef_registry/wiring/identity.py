"""Who this gate is, fixed at the first start: everything inside signatures derives from it."""

from __future__ import annotations

from urllib.parse import urlsplit

from gef_registry.errors import BadInput, Conflict
from gef_registry.store.backup import DATABASE
from gef_registry.store.diary import SqlInstance
from gef_registry.wiring.keyring import Identity

__all__ = ["DATABASE", "TRIAL_URL", "fixed_identity", "identity_of"]

TRIAL_URL = "http://localhost"


def identity_of(public_url: str) -> Identity:
    """Raises BadInput for what is not an origin: scheme and host, perhaps a port, nothing else."""
    parts = urlsplit(public_url)
    try:
        port = parts.port
    except ValueError as error:
        raise BadInput(f"--public-url {public_url[:200]!r}: {error}") from error
    plain = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise BadInput(
            f"--public-url {public_url[:200]!r} is not an origin", hint="write https://gate.example.org, without a path"
        )
    host = parts.hostname if port is None else f"{parts.hostname}:{port}"
    return Identity(verifier_id=f"{parts.scheme}://{host}", name=host, log_origin=parts.hostname)


async def fixed_identity(instance: SqlInstance, public_url: str | None) -> tuple[Identity, bool]:
    """The identity that holds, and whether it was fixed just now. Raises Conflict when another URL is asked for."""
    wanted = identity_of(public_url) if public_url is not None else None
    earlier = await instance.get("public_url")
    fixed = await instance.fix("public_url", wanted.verifier_id if wanted else TRIAL_URL)
    if wanted is not None and wanted.verifier_id != fixed:
        raise Conflict(
            f"this gate's public URL was fixed at its first start as {fixed}, not {wanted.verifier_id}",
            hint="signatures carry it; start with the former URL, or begin a new gate in another data directory",
        )
    return identity_of(fixed), earlier is None
