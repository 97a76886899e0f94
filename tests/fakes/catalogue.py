"""The embedded registry's ports in memory: Catalogue, Access and Gate, real enough to push to and able to fail.

`fail_before` and `fail_after` hold method names: a named method raises Unavailable before, or after, its effect, once for
each time its name was added.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from gef_registry.distribution.ports import Caller, PushAnswer, StoredManifest, Upload, Viewer
from gef_registry.errors import Denied, Unavailable
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Index, Manifest


@dataclass(slots=True)
class Failing:
    """Which methods fail next, and when."""

    fail_before: Counter[str] = field(default_factory=Counter)
    fail_after: Counter[str] = field(default_factory=Counter)

    def before(self, method: str) -> None:
        self._fail(self.fail_before, method)

    def after(self, method: str) -> None:
        self._fail(self.fail_after, method)

    def _fail(self, counter: Counter[str], method: str) -> None:
        if counter[method] > 0:
            counter[method] -= 1
            raise Unavailable(f"the catalogue failed in {method}, as the test asked")


@dataclass(slots=True)
class _Row:
    """Something in a repository: who holds it as a candidate, and whether it is public."""

    value: Any
    accounts: set[str]
    public: bool = False

    def seen_by(self, viewer: Viewer, repository: str) -> bool:
        return self.public or viewer.account in self.accounts or viewer.reviews_repository(repository)


def _take_away(rows: dict[Any, _Row], key: Any, viewer: Viewer) -> bool:
    """A viewer's own claim; everybody's, for who reviews the repository."""
    row = rows.get(key)
    if row is None or row.public or not row.seen_by(viewer, key[0]):
        return False
    row.accounts -= row.accounts if viewer.reviews_repository(key[0]) else {viewer.account}
    if not row.accounts:
        del rows[key]
    return True


class MemoryCatalogue:
    """See `distribution.ports.Catalogue`."""

    def __init__(self) -> None:
        self.failing = Failing()
        self.uploads: dict[str, Upload] = {}
        self.touched: dict[str, str] = {}
        self.blobs: dict[tuple[str, Digest], _Row] = {}
        self.manifests: dict[tuple[str, Digest], _Row] = {}
        self.references: dict[tuple[str, Digest], tuple[tuple[Digest, int], ...]] = {}
        self.tag_rows: dict[tuple[str, str], _Row] = {}
        self.revoked: dict[tuple[str, str], str] = {}

    # What an admission does, in one step

    def publish(self, repository: str, tag: str, digest: Digest) -> None:
        """Makes a candidate, all it points at, and the tag public."""
        self._publish(repository, digest)
        self.tag_rows[repository, tag] = _Row(digest, set(), public=True)

    def _publish(self, repository: str, digest: Digest) -> None:
        self.manifests[repository, digest].public = True
        for target, _ in self.references[repository, digest]:
            if (repository, target) in self.manifests:
                self._publish(repository, target)
            elif (repository, target) in self.blobs:
                self.blobs[repository, target].public = True

    def revoke(self, repository: str, tag: str, reason: str) -> None:
        self.revoked[repository, tag] = reason

    # The port

    async def create_upload(self, repository: str, account: str) -> Upload:
        self.failing.before("create_upload")
        upload = Upload(secrets.token_urlsafe(24), repository, account, 0)
        self.uploads[upload.id] = upload
        self._touch(upload.id)
        self.failing.after("create_upload")
        return upload

    async def upload(self, upload_id: str) -> Upload | None:
        self.failing.before("upload")
        return self.uploads.get(upload_id)

    async def record_offset(self, upload_id: str, offset: int) -> None:
        self.failing.before("record_offset")
        if upload_id in self.uploads:
            self.uploads[upload_id] = replace(self.uploads[upload_id], offset=offset)
            self._touch(upload_id)
        self.failing.after("record_offset")

    async def remove_upload(self, upload_id: str) -> None:
        self.failing.before("remove_upload")
        self.uploads.pop(upload_id, None)
        self.touched.pop(upload_id, None)
        self.failing.after("remove_upload")

    async def count_uploads(self, account: str) -> int:
        self.failing.before("count_uploads")
        return sum(upload.account == account for upload in self.uploads.values())

    async def idle_uploads(self, before: str) -> list[str]:
        return [upload_id for upload_id, at in self.touched.items() if at < before]

    def _touch(self, upload_id: str) -> None:
        self.touched[upload_id] = datetime.now(UTC).isoformat(timespec="microseconds")

    async def link_blob(self, repository: str, digest: Digest, size: int, account: str) -> None:
        self.failing.before("link_blob")
        self.blobs.setdefault((repository, digest), _Row(size, set())).accounts.add(account)
        self.failing.after("link_blob")

    async def blob_size(self, repository: str, digest: Digest, viewer: Viewer) -> int | None:
        self.failing.before("blob_size")
        row = self.blobs.get((repository, digest))
        return row.value if row is not None and row.seen_by(viewer, repository) else None

    async def unlink_blob(self, repository: str, digest: Digest, viewer: Viewer) -> bool:
        self.failing.before("unlink_blob")
        return _take_away(self.blobs, (repository, digest), viewer)

    async def put_manifest(
        self, repository: str, stored: StoredManifest, account: str, references: tuple[tuple[Digest, int], ...]
    ) -> None:
        self.failing.before("put_manifest")
        self.manifests.setdefault((repository, stored.digest), _Row(stored, set())).accounts.add(account)
        self.references[repository, stored.digest] = references
        self.failing.after("put_manifest")

    async def manifest(self, repository: str, reference: str | Digest, viewer: Viewer) -> StoredManifest | None:
        self.failing.before("manifest")
        if isinstance(reference, str):
            tag = self.tag_rows.get((repository, reference))
            if tag is None or not tag.seen_by(viewer, repository):
                return None
            if reason := self.revoked.get((repository, reference)):
                raise Denied(f"{repository}:{reference} was revoked: {reason}")
            reference = tag.value
        row = self.manifests.get((repository, reference))
        return row.value if row is not None and row.seen_by(viewer, repository) else None

    async def put_tag(self, repository: str, tag: str, digest: Digest, account: str) -> None:
        assert not repository.startswith("trusted/"), "only an admission tags in trusted/"
        self.failing.before("put_tag")
        self.tag_rows[repository, tag] = _Row(digest, {account})
        self.failing.after("put_tag")

    async def delete_tag(self, repository: str, tag: str, viewer: Viewer) -> bool:
        return _take_away(self.tag_rows, (repository, tag), viewer)

    async def delete_manifest(self, repository: str, digest: Digest, viewer: Viewer) -> bool:
        for key in [key for key, row in self.tag_rows.items() if key[0] == repository and row.value == digest]:
            _take_away(self.tag_rows, key, viewer)
        return _take_away(self.manifests, (repository, digest), viewer)

    async def tags(self, repository: str, viewer: Viewer) -> list[str] | None:
        seen = [
            tag
            for (where, tag), row in self.tag_rows.items()
            if where == repository and row.seen_by(viewer, repository)
        ]
        if seen or await self._sees(repository, viewer):
            return sorted(seen, key=str.encode)
        return None

    async def repositories(self, viewer: Viewer) -> list[str]:
        names = {repository for repository, _ in self.manifests}
        return sorted([name for name in names if await self._sees(name, viewer)], key=str.encode)

    async def _sees(self, repository: str, viewer: Viewer) -> bool:
        return any(
            where == repository and row.seen_by(viewer, repository) for (where, _), row in self.manifests.items()
        )

    async def referrers(self, repository: str, subject: Digest, viewer: Viewer) -> list[StoredManifest]:
        return [
            row.value
            for (where, _), row in self.manifests.items()
            if where == repository and row.value.subject == subject and row.seen_by(viewer, repository)
        ]


class _Rules(Mapping[str, frozenset[str]]):
    """Grants by prefix, as a Mapping of repository names."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        self._rules = rules

    def __getitem__(self, repository: str) -> frozenset[str]:
        granted: set[str] = set()
        for prefix, actions in self._rules.items():
            if repository.startswith(prefix):
                granted.update(actions.split(","))
        if not granted:
            raise KeyError(repository)
        return frozenset(granted)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)


@dataclass(frozen=True, slots=True)
class Account:
    """Password `<name>-password`; rules: prefix of repositories -> actions, comma-separated."""

    name: str
    rules: Mapping[str, str]
    reviews: tuple[str, ...] = ()

    @property
    def authorization(self) -> str:
        return "Basic " + base64.b64encode(f"{self.name}:{self.name}-password".encode()).decode()


class MemoryAccess:
    """See `distribution.ports.Access`: basic credentials against a list."""

    def __init__(self, *accounts: Account, anonymous: Mapping[str, str] | None = None) -> None:
        self.accounts = {account.authorization: account for account in accounts}
        self.anonymous = _Rules({"trusted/": "pull"} if anonymous is None else anonymous)

    async def caller(self, authorization: str | None, repository: str | None) -> Caller:
        if authorization is None:
            return Caller(Viewer(), self.anonymous)
        account = self.accounts.get(authorization)
        if account is None:
            raise Denied("the name or the password is wrong")
        return Caller(Viewer(account.name, account.reviews), _Rules(account.rules))

    def challenge(self, repository: str | None, actions: str) -> str:
        return 'Basic realm="registry under test"'


class MemoryGate:
    """See `distribution.ports.Gate`. `verdicts` maps a tag of `trusted/` to an answer; without one it is admitted.

    Judging runs in a task of the gate's own, as the real one's does, and waits for `release` when that is cleared.
    """

    def __init__(self, catalogue: MemoryCatalogue) -> None:
        self.catalogue = catalogue
        self.verdicts: dict[str, PushAnswer] = {}
        self.refuse_push: Callable[[str, str], PushAnswer | None] = lambda repository, account: None
        self.release = asyncio.Event()
        self.release.set()
        self.asked: list[tuple[str, str, Digest, str]] = []
        self.judged: list[tuple[str, str, Digest]] = []
        self._tasks: set[asyncio.Task[PushAnswer]] = set()

    async def check_push(self, repository: str, account: str) -> PushAnswer | None:
        return self.refuse_push(repository, account)

    async def tagged(self, repository: str, tag: str, manifest: Manifest | Index, account: str) -> PushAnswer:
        self.asked.append((repository, tag, manifest.digest, account))
        if repository.startswith("staging/"):
            return self.verdicts.get(tag, PushAnswer(201))
        task = asyncio.ensure_future(self._judge(repository, tag, manifest.digest))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _judge(self, repository: str, tag: str, digest: Digest) -> PushAnswer:
        await self.release.wait()
        answer = self.verdicts.get(tag, PushAnswer(201))
        if answer.status == 201:
            self.catalogue.publish(repository, tag, digest)
        self.judged.append((repository, tag, digest))
        return answer

    async def close(self) -> None:
        """Waits for what is being judged."""
        self.release.set()
        await asyncio.gather(*self._tasks)
