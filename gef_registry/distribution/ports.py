"""What the embedded registry needs from the rest: records (Catalogue), rights (Access) and judgement (Gate).

Blob *bytes* are `distribution.blobs`; these ports hold what a database and the gate know. Every method that changes
something is durable on return and atomic. Errors are those of `gef_registry.errors`.

Visibility, the one rule behind P1: a row is *public* (admitted) or belongs to the account that pushed it. A viewer sees
public rows, rows of its own account and, when it reviews that repository, all rows. Nothing else exists for it: 404.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Index, Manifest

GATE_ACCOUNT = "gate"


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks. `account` None is anonymous; `reviews` lists repository prefixes whose candidates it may read ("" = all)."""

    account: str | None = None
    reviews: tuple[str, ...] = ()

    def reviews_repository(self, repository: str) -> bool:
        return any(repository == p or repository.startswith(p) for p in self.reviews)


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest's record; its bytes are read from the blob store by digest and hashed again on the way out."""

    digest: Digest
    media_type: str
    size: int
    artifact_type: str | None = None
    subject: Digest | None = None
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload in progress: an unguessable id, bound to the account and repository that started it; bytes received."""

    id: str
    repository: str
    account: str
    offset: int


class Catalogue(Protocol):
    """Records of the embedded registry. Safe concurrently; reads see the last committed write."""

    async def create_upload(self, repository: str, account: str) -> Upload: ...
    async def upload(self, upload_id: str) -> Upload | None: ...
    async def record_offset(self, upload_id: str, offset: int) -> None: ...
    async def remove_upload(self, upload_id: str) -> None: ...
    async def count_uploads(self, account: str) -> int:
        """How many uploads the account has open, in all repositories."""
        ...

    async def idle_uploads(self, before: str) -> list[str]:
        """Ids of uploads begun or last recorded before a time (`2026-01-31T12:00:00.000000+00:00`, always UTC)."""
        ...

    async def link_blob(self, repository: str, digest: Digest, size: int, account: str) -> None:
        """The account's repository now has this blob (as its candidate; idempotent)."""
        ...

    async def blob_size(self, repository: str, digest: Digest, viewer: Viewer) -> int | None:
        """The blob's size when the viewer may see it in this repository; None otherwise."""
        ...

    async def unlink_blob(self, repository: str, digest: Digest, viewer: Viewer) -> bool:
        """Forgets the viewer's own claim to a blob (everybody's, for who reviews the repository); others keep theirs."""
        ...

    async def put_manifest(
        self, repository: str, stored: StoredManifest, account: str, references: tuple[tuple[Digest, int], ...]
    ) -> None:
        """Records a manifest as the account's candidate, with the (digest, size) of everything it points at."""
        ...

    async def manifest(self, repository: str, reference: str | Digest, viewer: Viewer) -> StoredManifest | None:
        """By tag (str) or digest, when visible. Raises Denied, with the reason, for a tag whose admission was revoked."""
        ...

    async def put_tag(self, repository: str, tag: str, digest: Digest, account: str) -> None:
        """Points a tag of `staging/` at a manifest. Never called for `trusted/`: only an admission does that."""
        ...

    async def delete_tag(self, repository: str, tag: str, viewer: Viewer) -> bool: ...
    async def delete_manifest(self, repository: str, digest: Digest, viewer: Viewer) -> bool:
        """Removes the viewer's record, as `unlink_blob` does, and its tags that point at it. `staging/` only."""
        ...

    async def tags(self, repository: str, viewer: Viewer) -> list[str] | None:
        """Visible tags, sorted bytewise; None when the viewer sees nothing of this repository."""
        ...

    async def repositories(self, viewer: Viewer) -> list[str]: ...
    async def referrers(self, repository: str, subject: Digest, viewer: Viewer) -> list[StoredManifest]: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated (or anonymous) request: the viewer and what its token grants, `repository -> actions`."""

    viewer: Viewer
    grants: Mapping[str, frozenset[str]] = field(default_factory=dict, hash=False)
    everything: bool = False

    def may(self, action: Literal["pull", "push", "delete"], repository: str) -> bool:
        return self.everything or action in self.grants.get(repository, frozenset())


class Access(Protocol):
    """Turns a request's `Authorization` header into a Caller."""

    async def caller(self, authorization: str | None, repository: str | None) -> Caller:
        """Raises Denied when credentials are wrong or expired (answered 401 with `challenge`)."""
        ...

    def challenge(self, repository: str | None, actions: str) -> str:
        """The `WWW-Authenticate` value that tells a client where to get a token and for which scope."""
        ...


@dataclass(frozen=True, slots=True)
class PushAnswer:
    """What the client of a PUT by tag hears. Status 201, 403, 409 or 429; `detail` is the report's address or ''."""

    status: int
    message: str = ""
    detail: str = ""


class Gate(Protocol):
    """The embedded registry asks the gate, and does what it says."""

    async def check_push(self, repository: str, account: str) -> PushAnswer | None:
        """Called when an upload starts and before any manifest is stored: None to go on, else the refusal."""
        ...

    async def tagged(self, repository: str, tag: str, manifest: Manifest | Index, account: str) -> PushAnswer:
        """A manifest, stored as a candidate, is to be known under a tag. In `trusted/` this waits for the verdict."""
        ...
