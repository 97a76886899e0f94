"""Blobs from a registry, streamed: verified, bounded, and taken up again with `Range` where a connection broke."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import aiohttp

from gef_registry.distribution.client.exchange import Call, Exchange
from gef_registry.distribution.client.retry import Patience, Transient
from gef_registry.errors import Unavailable, VerificationFailed
from gef_registry.oci.manifest import Descriptor
from gef_registry.oci.reference import Reference

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/(?:[0-9]{1,18}|\*)", re.ASCII)


async def stream_blob(
    exchange: Exchange, reference: Reference, descriptor: Descriptor, *, verify: bool
) -> AsyncIterator[bytes]:
    """Exactly `descriptor.size` bytes in pieces of at most 1 MiB, else VerificationFailed. With `verify` the last thing that
    happens is the comparison of the digest; pieces before it are not to be trusted yet. Raises NotFound, Unavailable."""
    patience = Patience(exchange.settings, exchange.settings.transfer_deadline_s(descriptor.size))
    hasher = descriptor.digest.hasher() if verify else None
    done = 0
    while True:
        before = done
        try:
            async with aclosing(_attempt(exchange, reference, descriptor, done, patience.until)) as pieces:
                async for piece in pieces:
                    done += len(piece)
                    if hasher is not None:
                        hasher.update(piece)
                    yield piece
            break
        except Transient as failure:
            if done > before:
                patience.note_progress()
            await patience.after(failure)
    if done != descriptor.size:
        raise VerificationFailed(f"blob {descriptor.digest}: got {done} bytes, expected {descriptor.size}")
    if hasher is not None and hasher.hexdigest() != descriptor.digest.hex:
        raise VerificationFailed(
            f"blob {descriptor.digest}: got {hasher.name}:{hasher.hexdigest()}", hint="the registry's copy is damaged"
        )


async def _attempt(
    exchange: Exchange, reference: Reference, descriptor: Descriptor, offset: int, until: float
) -> AsyncGenerator[bytes, None]:
    what = f"blob {descriptor.digest} of {reference.host}/{reference.repository}"
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    call = Call("GET", reference, f"/v2/{reference.repository}/blobs/{descriptor.digest}", what, headers=headers)
    async with exchange.open(call) as response:
        if response.status not in (200, 206):
            raise await exchange.failure(call, response)
        skip = offset - _starts_at(response, offset, what)
        remaining = descriptor.size - offset
        stated = response.content_length
        if stated is not None and stated != remaining + skip:
            raise VerificationFailed(f"{what}: the registry has {stated} bytes, expected {remaining + skip}")
        async for piece in exchange.transport.pieces(response, until):
            fresh, skip = piece[skip:], max(0, skip - len(piece))
            remaining -= len(fresh)
            if remaining < 0:
                raise VerificationFailed(f"{what}: more than the expected {descriptor.size} bytes")
            if fresh:
                yield fresh


def _starts_at(response: aiohttp.ClientResponse, offset: int, what: str) -> int:
    """Where the body begins: a server that ignores `Range` sends all of it again (200)."""
    if response.status == 200:
        return 0
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if offset == 0 or match is None or int(match[1]) != offset:
        raise Unavailable(f"{what}: a partial answer that was not asked for")
    return offset
