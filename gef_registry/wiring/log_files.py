"""What the gate serves under `/log/` (`web.ports.LogFiles`): files as they are, and proofs made from the records."""

from __future__ import annotations

import json
from typing import Any

from gef_registry.errors import NotFound
from gef_registry.oci.digest import Digest
from gef_registry.signing import cosign
from gef_registry.signing.leaf import statement_id_of
from gef_registry.store.submission_records import SubmissionRecords
from gef_registry.transparency.note import parse_checkpoint
from gef_registry.transparency.proofs import LogProof
from gef_registry.transparency.reader import DirectoryFetch
from gef_registry.transparency.sequencer import Sequencer
from gef_registry.wiring.keyring import Keyring
from gef_registry.wiring.notary import public_log_key


class PublicLog:
    """Serves only what the published checkpoint covers: nothing is seen before it is logged."""

    def __init__(
        self, files: DirectoryFetch, sequencer: Sequencer, keyring: Keyring, records: SubmissionRecords
    ) -> None:
        self._files = files
        self._sequencer = sequencer
        self._keyring = keyring
        self._records = records
        keyset = keyring.keyset
        self._root = cosign.trusted_root(public_log_key(keyring), keyset.log_origin, keyset.issued_at)

    async def __call__(self, path: str) -> bytes:
        kind, _, rest = path.partition("/")
        if path == "keys":
            return self._keyring.keyset_raw
        if path == "trusted_root.json":
            return self._root
        if path == "checkpoint":
            return self._sequencer.checkpoint().encode()
        if kind == "statement" and not self._is_published(rest):
            raise NotFound(f"the log has no statement {rest[:80]!r}")
        return await self._files(path)

    def _is_published(self, statement_id: str) -> bool:
        return len(statement_id) == 64 and self._sequencer.has_statement(statement_id)

    async def proof(self, digest: Digest) -> list[dict[str, Any]]:
        found = [await self._describe(*row) for row in await self._records.logged_leaves(digest)]
        if not found:
            raise NotFound(f"the log has nothing about {digest}")
        return found

    async def _describe(self, kind: str, name: str, leaf: bytes, index: int) -> dict[str, Any]:
        note = self._sequencer.checkpoint()
        size = parse_checkpoint(note.partition("\n\n")[0] + "\n").size  # of this very note: the head may move on
        hashes = await self._sequencer.inclusion_proof(index, size)
        return {
            "kind": kind,
            "name": name or None,
            "index": index,
            "statement": statement_id_of(leaf),
            "leaf": json.loads(leaf),
            "proof": LogProof(index, tuple(hashes), note).text,
        }
