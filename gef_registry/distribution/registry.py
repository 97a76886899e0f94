"""What every handler of the embedded registry holds: the parts behind it, and the questions they all ask.

Answers about rights: without the right, anonymous hears 401 and where to get a token, an account hears 403 `DENIED`.
With the right to pull, what the viewer may not see is 404, the same as what does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aiohttp import web

from gef_registry.distribution.answers import refusal_to_push
from gef_registry.distribution.blobs import BlobStore
from gef_registry.distribution.codes import Code, Refusal
from gef_registry.distribution.names import Namespace, require_namespace, require_repository
from gef_registry.distribution.ports import Access, Caller, Catalogue, Gate, Viewer
from gef_registry.errors import BadInput, Denied
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import MAX_MANIFEST_BYTES
from gef_registry.oci.reference import is_tag

Action = Literal["pull", "push", "delete"]

# What a token for the action must hold: distribution's own clients push with both.
_SCOPES: dict[Action, str] = {"pull": "pull", "push": "pull,push", "delete": "delete"}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the embedded registry."""

    max_manifest_bytes: int = MAX_MANIFEST_BYTES
    max_blob_bytes: int = 64 << 30
    max_uploads_per_account: int = 64
    idle_s: float = 60.0
    transfer_s: float = 6 * 3600.0
    max_page_entries: int = 1000


@dataclass(frozen=True, slots=True)
class Registry:
    """The parts behind the handlers."""

    store: BlobStore
    catalogue: Catalogue
    access: Access
    gate: Gate
    limits: Limits

    async def admit(self, request: web.Request, action: Action) -> Call:
        """Who asks, for which repository, with the right to do it. Raises Refusal."""
        try:
            repository = require_repository(request.match_info["name"])
        except BadInput as error:
            raise Refusal(Code.NAME_INVALID, error.message) from error
        caller = await self.caller(request, repository, action)
        if not caller.may(action, repository):
            if caller.viewer.account is None:
                raise self.unauthorized(repository, action, "sign in first: docker login")
            raise Refusal(
                Code.DENIED, f"the account {caller.viewer.account!r} has no right to {action} in {repository}"
            )
        return Call(repository, caller)

    async def caller(self, request: web.Request, repository: str | None, action: Action | None) -> Caller:
        """Raises Refusal 401 when credentials are given and wrong."""
        try:
            return await self.access.caller(request.headers.get("Authorization"), repository)
        except Denied as error:
            raise self.unauthorized(repository, action, str(error)) from error

    def unauthorized(self, repository: str | None, action: Action | None, message: str) -> Refusal:
        challenge = self.access.challenge(repository, _SCOPES[action] if action else "")
        return Refusal(Code.UNAUTHORIZED, message, headers={"WWW-Authenticate": challenge})

    async def admit_push(self, request: web.Request) -> Push:
        """As `admit`, and the namespace exists, an account is known, the gate has nothing against it. Raises Refusal."""
        call = await self.admit(request, "push")
        account = call.viewer.account
        if account is None:
            raise self.unauthorized(call.repository, "push", "nothing is pushed without an account: docker login")
        try:
            namespace = require_namespace(call.repository)
        except Denied as error:
            raise Refusal(Code.DENIED, error.message) from error
        refusal = await self.gate.check_push(call.repository, account)
        if refusal is not None:
            raise refusal_to_push(refusal)
        return Push(call.repository, call.caller, account, namespace)


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose rights have been checked."""

    repository: str
    caller: Caller

    @property
    def viewer(self) -> Viewer:
        return self.caller.viewer


@dataclass(frozen=True, slots=True)
class Push(Call):
    """A request that may write."""

    account: str
    namespace: Namespace


def digest_of(text: str) -> Digest:
    """Raises Refusal 400."""
    try:
        return Digest.parse(text)
    except BadInput as error:
        raise Refusal(Code.DIGEST_INVALID, error.message) from error


def reference_of(text: str) -> Digest | str:
    """A digest or a tag. Raises Refusal 400."""
    if ":" in text:
        return digest_of(text)
    if not is_tag(text):
        raise Refusal(Code.MANIFEST_INVALID, f"{text[:140]!r} is neither a tag nor a digest")
    return text
