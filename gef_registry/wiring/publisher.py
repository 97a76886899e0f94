"""Publishes an admission on the embedded registry (`admission.ports.Publisher`).

1 every byte of the admitted image is read back from the store, hashed on the way
2 the proofs (signature objects and bundles) are stored; their bytes are the same however often this runs
3 one transaction makes manifests, blobs, proofs, protective tags and the tag visible
4 the tag is read back
"""

from __future__ import annotations

from collections.abc import Sequence

from gef_registry.admission.ports import Logged, Part, Submission, Submissions
from gef_registry.distribution.blobs import BlobStore
from gef_registry.distribution.ports import StoredManifest, Viewer
from gef_registry.errors import Unavailable
from gef_registry.oci import media
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import MAX_MANIFEST_BYTES, Descriptor, Index, parse_manifest
from gef_registry.signing import cosign
from gef_registry.signing.dsse import parse_envelope
from gef_registry.signing.keys import Purpose
from gef_registry.signing.statement import PREDICATE_TYPE
from gef_registry.store.catalogue import SqlCatalogue
from gef_registry.store.publication import Proof, SqlPublication
from gef_registry.wiring.keyring import Keyring
from gef_registry.wiring.notary import COSIGN, DSSE, inclusion, public_log_key


class EmbeddedPublisher:
    """See the module."""

    def __init__(
        self,
        blobs: BlobStore,
        catalogue: SqlCatalogue,
        publication: SqlPublication,
        submissions: Submissions,
        keyring: Keyring,
    ) -> None:
        self._blobs = blobs
        self._catalogue = catalogue
        self._publication = publication
        self._submissions = submissions
        self._keyring = keyring

    async def publish(self, submission: Submission, logged: Sequence[Logged]) -> None:
        request = submission.request
        await self._read_back(request.digest, request.media_type)
        parts = {part.digest: part for part in await self._submissions.parts(submission.id)}
        proofs = [await self._store(proof, submission, parts) for proof in logged]
        await self._publication.publish(submission, list(parts), proofs)
        seen = await self._catalogue.manifest(request.repository, request.tag, Viewer())
        if seen is None or seen.digest != request.digest:
            raise Unavailable(f"{request.repository}:{request.tag} does not read back as {request.digest}")

    async def _read_back(self, digest: Digest, media_type: str | None) -> None:
        """Every manifest and blob below `digest` is there, unaltered. Raises NotFound or VerificationFailed."""
        raw = await self._blobs.read_verified(digest, MAX_MANIFEST_BYTES)
        document = parse_manifest(raw, media_type)
        if isinstance(document, Index):
            for child in document.manifests:
                await self._read_back(child.digest, child.media_type)
            return
        for blob in document.references:
            if await self._blobs.size(blob.digest) != blob.size:
                raise Unavailable(f"{blob.digest} of {digest} is missing or altered in the store")

    async def _store(self, logged: Logged, submission: Submission, parts: dict[Digest, Part]) -> Proof:
        statement = logged.statement
        part = parts[statement.part]
        if statement.kind == COSIGN:
            artifact = cosign.sig_artifact([cosign.Signature(statement.statement, statement.signature)])
            return await self._keep(artifact, tag=cosign.sig_tag(part.digest))
        assert statement.kind == DSSE, statement.kind
        bundle = cosign.sigstore_bundle(
            parse_envelope(statement.statement),
            statement.leaf,
            inclusion(logged.position),
            key=self._keyring[Purpose.ADMISSION].public,
            log_key=public_log_key(self._keyring),
            log_origin=self._keyring.keyset.log_origin,
        )
        subject = Descriptor(part.media_type, part.digest, part.size)
        created = int(submission.created_at.timestamp())
        artifact = cosign.bundle_artifact(subject, bundle, PREDICATE_TYPE, created)
        return await self._keep(artifact, subject=part.digest)

    async def _keep(self, artifact: cosign.Artifact, *, tag: str | None = None, subject: Digest | None = None) -> Proof:
        for blob in (*artifact.blobs, artifact.manifest):
            await self._blobs.put(Digest.of(blob), blob)
        manifest = parse_manifest(artifact.manifest, artifact.media_type)
        stored = StoredManifest(
            digest=artifact.digest,
            media_type=artifact.media_type,
            size=len(artifact.manifest),
            artifact_type=media.SIGSTORE_BUNDLE if subject is not None else None,
            subject=subject,
            annotations=manifest.annotations,
        )
        references = tuple((Digest.of(blob), len(blob)) for blob in artifact.blobs)
        return Proof(stored, references, tag)
