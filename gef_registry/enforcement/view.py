"""A host's view: what the log says, folded entry by entry into who is admitted, who revoked and what a name means.

Rules of the fold, the same on every host:
  - an admission counts when its statement is there, is the logged one, and passes `open_admission`; else it is a problem;
  - a name is bound to the first digest that it was admitted with, for ever: another one is a problem and does not count;
  - a revocation ends every admission before it, of its digest and of the children under it; afterwards only an admission
    counts that names the newest revocation of its digest or its index (`is_live`);
  - image ids (config digests) belong to the manifests that state them, not to indexes.
Replaying a log in one go or in pieces gives the same view. Nothing here knows the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from gef_registry.errors import VerificationFailed
from gef_registry.oci.digest import Digest
from gef_registry.signing.dsse import Envelope, parse_envelope
from gef_registry.signing.keys import Purpose
from gef_registry.signing.keyset import KeySet
from gef_registry.signing.leaf import ForeignLeaf, HashedRekord, is_simple_signing, parse_leaf
from gef_registry.signing.revocation import Revocation, SignedRevocation
from gef_registry.signing.statement import Admission
from gef_registry.signing.verify import check_revocation, open_admission


class ProblemKind(StrEnum):
    WITHHELD = "withheld"  # the log does not serve the statement
    ALTERED = "altered"  # it serves something else
    REFUSED = "refused"  # it is not signed as it must be, or not well formed
    NAME_TAKEN = "name_taken"  # a second digest under an admitted name
    FOREIGN = "foreign"  # a kind of leaf that this program does not know


@dataclass(frozen=True, slots=True)
class Problem:
    """A leaf that does not count, and why."""

    index: int
    kind: ProblemKind
    message: str

    @property
    def hides_a_statement(self) -> bool:
        return self.kind in (ProblemKind.WITHHELD, ProblemKind.ALTERED)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A leaf with the statement served beside it, empty when there is none."""

    index: int
    leaf: bytes
    statement: bytes


@dataclass(frozen=True, slots=True)
class Admitted:
    """An admission and its place in the log."""

    index: int
    admission: Admission


@dataclass(frozen=True, slots=True)
class Revoked:
    """A revocation and its place in the log."""

    index: int
    revocation: Revocation


def _none() -> Mapping[Digest, tuple[Digest, ...]]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class View:
    """The fold of the first `size` leaves. `cosigned_at` (POSIX seconds) is its age: when a cosigner last vouched for it."""

    size: int = 0
    cosigned_at: int = 0
    admissions: Mapping[Digest, tuple[Admitted, ...]] = field(default_factory=lambda: MappingProxyType({}))
    revocations: Mapping[Digest, Revoked] = field(default_factory=lambda: MappingProxyType({}))
    names: Mapping[str, Digest] = field(default_factory=lambda: MappingProxyType({}))
    image_ids: Mapping[Digest, tuple[Digest, ...]] = field(default_factory=_none)
    problems: tuple[Problem, ...] = ()

    def at(self, cosigned_at: int) -> View:
        return replace(self, cosigned_at=cosigned_at)

    def revocation_of(self, admission: Admission) -> Revoked | None:
        """The newest revocation of the admitted digest or of the index it belongs to."""
        found = (self.revocations.get(digest) for digest in (admission.digest, admission.index_digest))
        return max((r for r in found if r is not None), key=lambda r: r.index, default=None)

    def is_live(self, admitted: Admitted) -> bool:
        """Does the admission count: never revoked, or made in full knowledge of the newest revocation?"""
        revoked = self.revocation_of(admitted.admission)
        if revoked is None:
            return True
        return admitted.index > revoked.index and admitted.admission.supersedes_revocation == revoked.index


def fold(view: View, entries: Iterable[LogEntry], keyset: KeySet) -> View:
    """The view after these entries, which must be the log's next ones and verified against its root."""
    draft = _Draft(view)
    for entry in entries:
        assert entry.index == draft.size, "the entries of a log are folded in order"
        draft.take(entry, keyset)
    return draft.view(view.cosigned_at)


class _Draft:
    """The mutable copy that a fold works on."""

    def __init__(self, view: View) -> None:
        self.size = view.size
        self._admissions = dict(view.admissions)
        self._revocations = dict(view.revocations)
        self._names = dict(view.names)
        self._image_ids = dict(view.image_ids)
        self._problems = list(view.problems)

    def view(self, cosigned_at: int) -> View:
        return View(
            size=self.size,
            cosigned_at=cosigned_at,
            admissions=MappingProxyType(self._admissions),
            revocations=MappingProxyType(self._revocations),
            names=MappingProxyType(self._names),
            image_ids=MappingProxyType(self._image_ids),
            problems=tuple(self._problems),
        )

    def take(self, entry: LogEntry, keyset: KeySet) -> None:
        self.size += 1
        try:
            leaf = parse_leaf(entry.leaf)
            match leaf:
                case SignedRevocation(revocation=revocation):
                    check_revocation(leaf, keyset)
                    self._revocations[revocation.digest] = Revoked(entry.index, revocation)
                case HashedRekord():
                    self._take_statement(entry, leaf, keyset)
                case ForeignLeaf(kind=kind):
                    self._problem(
                        entry, ProblemKind.FOREIGN, f"a leaf of unknown kind {kind!r}; is there a newer program?"
                    )
        except VerificationFailed as error:
            self._problem(entry, ProblemKind.REFUSED, error.message)

    def _take_statement(self, entry: LogEntry, leaf: HashedRekord, keyset: KeySet) -> None:
        known = keyset.find(leaf.key)
        if known is None or known.purpose is not Purpose.ADMISSION:
            raise VerificationFailed(f"a leaf by {leaf.key.fingerprint}, which is no admission key of the gate")
        if not entry.statement:
            self._problem(entry, ProblemKind.WITHHELD, f"the log withholds the statement {leaf.statement_id}")
            return
        envelope: Envelope | None = None
        try:
            if not is_simple_signing(entry.statement):
                envelope = parse_envelope(entry.statement, what="statement")
            signed = entry.statement if envelope is None else envelope.signed_bytes
            altered = leaf.mismatch(signed, leaf.signature if envelope is None else envelope.signature)
        except VerificationFailed as error:
            altered = error.message
        if altered is not None:
            self._problem(entry, ProblemKind.ALTERED, f"the statement {leaf.statement_id} was altered: {altered}")
        elif envelope is not None:
            self._admit(entry, open_admission(envelope, keyset))
        elif not leaf.key.verifies(leaf.signature, entry.statement):
            raise VerificationFailed("the signature of a .sig object is wrong")

    def _admit(self, entry: LogEntry, admission: Admission) -> None:
        bound = self._names.setdefault(admission.name, admission.index_digest)
        if bound != admission.index_digest:
            message = (
                f"{admission.name} is {bound} for ever; a later admission with {admission.index_digest} does not count"
            )
            self._problem(entry, ProblemKind.NAME_TAKEN, message)
            return
        before = self._admissions.get(admission.digest, ())
        if any(admitted.admission == admission for admitted in before):
            return  # the same statement under another spelling of its signature
        self._admissions[admission.digest] = (*before, Admitted(entry.index, admission))
        if admission.child_digests:
            return
        for image_id in admission.config_digests:
            owners = self._image_ids.get(image_id, ())
            if admission.digest not in owners:
                self._image_ids[image_id] = (*owners, admission.digest)

    def _problem(self, entry: LogEntry, kind: ProblemKind, message: str) -> None:
        self._problems.append(Problem(entry.index, kind, message))
