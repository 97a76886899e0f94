"""Makes and signs the statements of an admission (`admission.ports.Notary`), and logs them (`AdmissionLog`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from gef_registry.admission.ports import LogPosition, Part, SignedStatement, Submission
from gef_registry.errors import BadInput, Unavailable
from gef_registry.oci.digest import Digest
from gef_registry.signing import cosign, dsse, leaf
from gef_registry.signing.keys import PublicKey, Purpose
from gef_registry.signing.revocation import Revocation, revocation_leaf
from gef_registry.signing.statement import PAYLOAD_TYPE, Admission, admission_statement
from gef_registry.transparency.commit import Entry
from gef_registry.transparency.sequencer import Appended, Sequencer
from gef_registry.wiring.keyring import Keyring

DSSE, COSIGN = "dsse", "cosign"
Refusal = Callable[[], str | None]


class KeyNotary:
    """Signs with the admission key of the keyring, and with it nothing but admissions."""

    def __init__(self, keyring: Keyring, *, policy_uri: Callable[[Digest], str], trial: bool, refuse: Refusal) -> None:
        self._keyring = keyring
        self._policy_uri = policy_uri
        self._trial = trial
        self._refuse = refuse

    async def sign(self, submission: Submission, parts: Sequence[Part], at: datetime) -> list[SignedStatement]:
        refusal = self._refuse()
        if refusal is not None:
            raise Unavailable(refusal)
        key = self._keyring[Purpose.ADMISSION]
        statements: list[SignedStatement] = []
        for part in parts:
            statement = admission_statement(self._admission(submission, part, parts, at))
            envelope = dsse.sign(statement, PAYLOAD_TYPE, key)
            logged = leaf.dsse_leaf(envelope, key.public)
            statements.append(SignedStatement(DSSE, part.digest, envelope.raw, logged, envelope.signature))
            host, repository = self._keyring.keyset.name, submission.request.repository
            payload = cosign.simple_signing_payload(host, repository, part.digest)
            signature = key.sign(payload)
            logged = leaf.signature_leaf(payload, signature, key.public)
            statements.append(SignedStatement(COSIGN, part.digest, payload, logged, signature))
        return statements

    def _admission(self, submission: Submission, part: Part, parts: Sequence[Part], at: datetime) -> Admission:
        request = submission.request
        if submission.policy_digest is None or submission.report_digest is None or submission.policy_name is None:
            raise BadInput(f"submission {submission.id} was never judged")
        is_root = part.digest == request.digest
        children = [other for other in parts if other.digest != request.digest] if is_root else []
        configs = [p.config_digest for p in (children or [part]) if p.config_digest is not None]
        return Admission(
            digest=part.digest,
            host=self._keyring.keyset.name,
            repository=request.repository,
            tag=request.tag,
            index_digest=request.digest,
            verifier_id=self._keyring.keyset.verifier_id,
            verified_at=int(at.timestamp()),
            policy_name=submission.policy_name,
            policy_uri=self._policy_uri(submission.policy_digest),
            policy_digest=submission.policy_digest,
            report_digest=submission.report_digest,
            child_digests=tuple(child.digest for child in children),
            config_digests=tuple(dict.fromkeys(configs)),
            platform=part.platform,
            trial=self._trial,
        )

    def revocation(self, digest: Digest, reason: str, by: str, at: datetime) -> bytes:
        """A signed revocation leaf. Raises BadInput for text a reader would refuse, Unavailable while nothing is signed."""
        refusal = self._refuse()
        if refusal is not None:
            raise Unavailable(refusal)
        return revocation_leaf(Revocation(digest, reason, int(at.timestamp()), by), self._keyring[Purpose.REVOCATION])


class SequencedLog:
    """The admissions' and revocations' way into the log."""

    def __init__(self, sequencer: Sequencer, refuse: Refusal) -> None:
        self._sequencer = sequencer
        self._refuse = refuse

    async def append(self, statements: Sequence[SignedStatement]) -> list[LogPosition]:
        return await self._append([_entry(item.leaf, item.statement) for item in statements])

    async def append_leaf(self, revocation: bytes) -> LogPosition:
        (position,) = await self._append([_entry(revocation, revocation)])
        return position

    async def _append(self, entries: Sequence[Entry]) -> list[LogPosition]:
        refusal = self._refuse()
        if refusal is not None:
            raise Unavailable(refusal)
        return [await self._position(appended) for appended in await self._sequencer.append(entries)]

    async def _position(self, appended: Appended) -> LogPosition:
        size = int(appended.checkpoint.split("\n", 2)[1])
        proof = await self._sequencer.inclusion_proof(appended.index, size)
        return LogPosition(appended.index, tuple(proof), appended.checkpoint)


def _entry(logged: bytes, statement: bytes) -> Entry:
    return Entry(logged, statement, leaf.statement_id_of(logged))


def inclusion(position: LogPosition) -> cosign.Inclusion:
    return cosign.Inclusion(position.index, position.proof, position.checkpoint)


def public_log_key(keyring: Keyring) -> PublicKey:
    return keyring[Purpose.LOG].public
