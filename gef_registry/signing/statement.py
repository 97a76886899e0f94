"""The statements of the gate: an admission is an in-toto Statement v1 with a SLSA verification summary, PASSED.

Specifications: in-toto Attestation v1 (statement), slsa.dev/verification_summary/v1. What the summary has no field for
stands in extension fields, whose names are URIs below `https://eudat.eu/gef/admission/v1/`. Each statement has one
subject: an index, a child of an index, or a manifest of its own. Readers refuse members they do not know, because a
future member may restrict what the statement permits. Only admissions are ever signed with the admission key: other
verifiers look at the signature and the subject and at nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gef_registry.errors import BadInput, VerificationFailed
from gef_registry.oci import media, strict_json
from gef_registry.oci.digest import Digest
from gef_registry.oci.reference import is_repository, is_tag
from gef_registry.signing.fields import MAX_DIGESTS, Fields, rfc3339

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/verification_summary/v1"
PAYLOAD_TYPE = media.IN_TOTO
LEVEL = "GEF_ADMITTED_V1"
EXTENSION = "https://eudat.eu/gef/admission/v1/"
MAX_STATEMENT_BYTES = 98_304

_VSA = frozenset(
    {"verifier", "timeVerified", "resourceUri", "policy", "verificationResult", "verifiedLevels"},
)
_REQUIRED = frozenset(
    EXTENSION + name
    for name in (
        "repository",
        "tag",
        "indexDigest",
        "childDigests",
        "configDigests",
        "reportDigest",
        "policyName",
        "trial",
    )
)
_OPTIONAL = frozenset(EXTENSION + name for name in ("platform", "expires", "supersedesRevocation"))


@dataclass(frozen=True, slots=True)
class Admission:
    """`digest` is admitted as (part of) `index_digest` under `repository:tag` on `host`.

    For the admitted thing itself `digest == index_digest`; a child names the index it belongs to. `config_digests` are
    the image ids of `digest`: its own, or those of all children. Times are POSIX seconds.
    `supersedes_revocation` is the log index of the newest revocation of `digest` or `index_digest`, when there is one.
    """

    digest: Digest
    host: str
    repository: str
    tag: str
    index_digest: Digest
    verifier_id: str
    verified_at: int
    policy_name: str
    policy_uri: str
    policy_digest: Digest
    report_digest: Digest
    child_digests: tuple[Digest, ...] = ()
    config_digests: tuple[Digest, ...] = ()
    platform: str | None = None
    trial: bool = False
    expires_at: int | None = None
    supersedes_revocation: int | None = None

    @property
    def name(self) -> str:
        return f"{self.repository}:{self.tag}"

    @property
    def is_child(self) -> bool:
        return self.digest != self.index_digest

    @property
    def resource_uri(self) -> str:
        return f"oci://{self.host}/{self.repository}@{self.digest}"


def admission_statement(admission: Admission) -> bytes:
    """The bytes to sign: canonical JSON. Raises BadInput for what a reader would refuse."""
    extensions: dict[str, Any] = {
        "repository": admission.repository,
        "tag": admission.tag,
        "indexDigest": str(admission.index_digest),
        "childDigests": [str(digest) for digest in admission.child_digests],
        "configDigests": [str(digest) for digest in admission.config_digests],
        "reportDigest": str(admission.report_digest),
        "policyName": admission.policy_name,
        "trial": admission.trial,
    }
    if admission.platform is not None:
        extensions["platform"] = admission.platform
    if admission.expires_at is not None:
        extensions["expires"] = rfc3339(admission.expires_at)
    if admission.supersedes_revocation is not None:
        extensions["supersedesRevocation"] = admission.supersedes_revocation
    predicate = {
        "verifier": {"id": admission.verifier_id},
        "timeVerified": rfc3339(admission.verified_at),
        "resourceUri": admission.resource_uri,
        "policy": {"uri": admission.policy_uri, "digest": {"sha256": admission.policy_digest.hex}},
        "verificationResult": "PASSED",
        "verifiedLevels": [LEVEL],
        **{EXTENSION + name: value for name, value in extensions.items()},
    }
    statement = strict_json.canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"digest": {"sha256": admission.digest.hex}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": predicate,
        }
    )
    try:
        read_back = parse_admission(statement)
    except VerificationFailed as error:
        raise BadInput(f"this admission cannot be stated: {error.message}") from error
    if read_back != admission:
        raise BadInput(f"this admission cannot be stated: {admission.name} would be read differently")
    return statement


def parse_admission(statement: bytes) -> Admission:
    """Reads a statement whose signature was verified before. Raises VerificationFailed, naming what is wrong."""
    fields = Fields.parse(statement, what="admission statement", max_bytes=MAX_STATEMENT_BYTES)
    fields.exactly({"_type", "subject", "predicateType", "predicate"})
    fields.constant("_type", STATEMENT_TYPE)
    if fields.text("predicateType") != PREDICATE_TYPE:
        raise VerificationFailed(
            f"admission statement: its predicate type is {fields.text('predicateType')[:100]!r}, not {PREDICATE_TYPE!r}"
        )
    subjects = list(fields.each("subject", MAX_DIGESTS))
    if len(subjects) != 1:
        raise VerificationFailed(f"admission statement: {len(subjects)} subjects; expected exactly one")
    return _predicate(fields.fields("predicate"), subjects[0].exactly({"digest"}).sha256_of("digest"))


def _predicate(predicate: Fields, digest: Digest) -> Admission:
    result = predicate.members.get("verificationResult")
    if result != "PASSED":
        raise VerificationFailed(f"admission statement: its result is {str(result)[:40]!r}, not 'PASSED'")
    predicate.exactly(_VSA | _REQUIRED, _OPTIONAL)
    if predicate.texts("verifiedLevels", 8) != (LEVEL,):
        raise VerificationFailed(f"admission statement: verifiedLevels: expected exactly [{LEVEL!r}]")
    policy = predicate.fields("policy").exactly({"uri", "digest"})
    repository, tag = predicate.text(EXTENSION + "repository"), predicate.text(EXTENSION + "tag")
    if not is_repository(repository) or not is_tag(tag):
        raise VerificationFailed(f"admission statement: {repository[:100]!r}:{tag[:100]!r} is not a name of an image")
    platform, expires, supersedes = (EXTENSION + name for name in ("platform", "expires", "supersedesRevocation"))
    admission = Admission(
        digest=digest,
        host=_host(predicate.text("resourceUri"), repository, digest),
        repository=repository,
        tag=tag,
        index_digest=predicate.digest(EXTENSION + "indexDigest"),
        verifier_id=predicate.fields("verifier").exactly({"id"}).text("id"),
        verified_at=predicate.time("timeVerified"),
        policy_name=predicate.text(EXTENSION + "policyName", 200),
        policy_uri=policy.text("uri"),
        policy_digest=policy.sha256_of("digest"),
        report_digest=predicate.digest(EXTENSION + "reportDigest"),
        child_digests=predicate.digests(EXTENSION + "childDigests"),
        config_digests=predicate.digests(EXTENSION + "configDigests"),
        platform=predicate.text(platform, 200) if platform in predicate else None,
        trial=predicate.flag(EXTENSION + "trial"),
        expires_at=predicate.time(expires) if expires in predicate else None,
        supersedes_revocation=predicate.integer(supersedes) if supersedes in predicate else None,
    )
    if admission.is_child and admission.child_digests:
        raise VerificationFailed("admission statement: a child of an index has children")
    return admission


def _host(resource_uri: str, repository: str, digest: Digest) -> str:
    head, tail = "oci://", f"/{repository}@{digest}"
    host = resource_uri.removeprefix(head).removesuffix(tail)
    if resource_uri != head + host + tail or not host or "/" in host:
        raise VerificationFailed(
            f"admission statement: resourceUri: expected oci://HOST{tail}, got {resource_uri[:300]!r}"
        )
    return host
