"""Looks at a gate's log in its data directory, without the gate: audit everything, prove one digest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gef_registry.enforcement.single_statements import SingleStatements
from gef_registry.enforcement.trust import Trust
from gef_registry.enforcement.view import LogEntry, View, fold
from gef_registry.errors import GefError, NotFound
from gef_registry.oci.digest import Digest
from gef_registry.signing.leaf import check_statement, statement_id_of
from gef_registry.transparency.audit import AuditReport, Finding, audit
from gef_registry.transparency.merkle import Frontier
from gef_registry.transparency.note import SignedCheckpoint
from gef_registry.transparency.proofs import LogProof
from gef_registry.transparency.reader import DirectoryFetch, LogReader
from gef_registry.wiring.keyring import load_keyset


@dataclass(frozen=True, slots=True)
class LogAudit:
    """What is wrong with a log, bytes and meaning; `view` is what a host would make of it, None if it cannot be replayed."""

    report: AuditReport
    findings: tuple[str, ...]
    view: View | None

    @property
    def is_clean(self) -> bool:
        return not self.findings


def open_trust(data: Path) -> Trust:
    """The gate's own key set as the trust to check its log by. Raises NotFound, VerificationFailed."""
    raw, keyset = load_keyset(data / "keys")
    return Trust.establish(raw, keyset.root.fingerprint)


async def audit_log(data: Path) -> LogAudit:
    """Re-hashes every entry, tile and statement; verifies every signature; replays the log as a host does."""
    trust = open_trust(data)
    report = audit(
        data / "log", trust.keyset.log_origin, trust.log, trust.cosigners[0], statement_id_of, check_statement
    )
    findings = [_line(finding) for finding in report.findings]
    view: View | None = None
    try:
        _, view = await _replay(data, trust)
    except GefError as error:
        if not findings:
            findings.append(f"replay: {error}")
    if view is not None:
        # A statement that is gone or altered was found by the audit already.
        findings += [f"entry {p.index}: {p.message}" for p in view.problems if not p.hides_a_statement]
    return LogAudit(report, tuple(findings), view)


async def prove(data: Path, digest: Digest) -> list[tuple[str, LogProof]]:
    """A proof for each entry about a digest, with what the entry says. Raises NotFound when there is none."""
    trust = open_trust(data)
    signed, view = await _replay(data, trust)
    about = [(a.index, f"admitted as {a.admission.name}") for a in view.admissions.get(digest, ())]
    revoked = view.revocations.get(digest)
    if revoked is not None:
        about.append((revoked.index, f"revoked: {revoked.revocation.reason}"))
    if not about:
        raise NotFound(f"the log has no entry about {digest}")
    reader, size = _reader(data, trust), signed.checkpoint.size
    return [
        (what, LogProof(index, tuple(await reader.inclusion_proof(index, size)), signed.note))
        for index, what in sorted(about)
    ]


async def _replay(data: Path, trust: Trust) -> tuple[SignedCheckpoint, View]:
    reader = _reader(data, trust)
    signed = await reader.checkpoint()
    entries: list[LogEntry] = []
    async for part in reader.replay(Frontier(), signed.checkpoint):
        pairs = zip(part.leaves, part.statements, strict=True)
        entries += [LogEntry(part.first + n, leaf, statement) for n, (leaf, statement) in enumerate(pairs)]
    return signed, fold(View(cosigned_at=signed.cosigned_at or 0), entries, trust.keyset)


def _reader(data: Path, trust: Trust) -> LogReader:
    fetch = SingleStatements(DirectoryFetch(data / "log"))
    return LogReader(fetch, trust.keyset.log_origin, trust.log, trust.cosigners)


def _line(finding: Finding) -> str:
    return f"{finding.kind} {finding.where}: {finding.message}"
