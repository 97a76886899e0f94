"""`/api/v1/`: handlers that parse, ask one thing and answer. Which there are is the table in `endpoints`."""

from __future__ import annotations

import asyncio

from aiohttp import web

from gef_registry import __version__
from gef_registry.admission.desk import check_trusted_name
from gef_registry.admission.ports import Submission
from gef_registry.admission.review import Opinion
from gef_registry.admission.revocation import MAX_REASON
from gef_registry.admission.rights import Account, rights
from gef_registry.errors import BadInput, Denied
from gef_registry.oci.digest import Digest
from gef_registry.web.answers import CROSS_ORIGIN, PRIVATE, REVALIDATE, private, public
from gef_registry.web.bodies import read_object, text_field
from gef_registry.web.callers import Callers
from gef_registry.web.documents import account_document, reviews_documents, revocation_document, submission_document
from gef_registry.web.endpoints import ENDPOINTS
from gef_registry.web.openapi import openapi_document
from gef_registry.web.ports import GatePorts
from gef_registry.web.revoking import require_revoker
from gef_registry.web.services import MAX_QUERY, Services, revoked_document, service_document, version_document
from gef_registry.web.submissions import MAX_LISTED, listed, parse_number, parse_states, report_of, visible
from gef_registry.web.visibility import is_insider

MAX_WAIT_S = 60
# Beyond so many waiting clients the answer comes at once, and they ask again.
MAX_WAITING = 200


class Api:
    """Holds the ports; keeps no state but how many clients wait."""

    def __init__(self, ports: GatePorts, callers: Callers, services: Services) -> None:
        self._ports = ports
        self._callers = callers
        self._services = services
        self._waiting = asyncio.Semaphore(MAX_WAITING)
        self._openapi = openapi_document(ports.origin.public_url)

    def routes(self) -> list[web.RouteDef]:
        return [web.route(e.method, e.route, getattr(self, e.handler)) for e in ENDPOINTS]

    async def services(self, request: web.Request) -> web.Response:
        query = request.query.get("q", "")
        if len(query) > MAX_QUERY:
            raise BadInput(f"q has {len(query)} characters, at most {MAX_QUERY} are read")
        limit = parse_number(request.query.get("limit"), 100, most=MAX_LISTED)
        found = await self._services.all(query)
        rest = [service for service in found if service.repository > request.query.get("after", "")]
        following = rest[limit - 1].repository if len(rest) > limit else None
        documents = [service_document(service) for service in rest[:limit]]
        return public({"services": documents, "total": len(found), "next": following})

    async def service(self, request: web.Request) -> web.Response:
        repository = request.match_info["repository"]
        service = await self._services.one(repository)
        return public(
            {
                "repository": service.repository,
                "versions": [version_document(version) for version in service.versions],
                "revoked": [revoked_document(version) for version in await self._services.revoked(repository)],
            }
        )

    async def submissions(self, request: web.Request) -> web.Response:
        account = await self._callers.require(request)
        found = await listed(
            self._ports.records,
            account,
            states=parse_states(request.query.getall("state", [])),
            repository=request.query.get("repository"),
            reviewable=request.query.get("reviewable", "false") == "true",
            limit=parse_number(request.query.get("limit"), 100, most=MAX_LISTED),
        )
        return private({"submissions": [submission_document(s, insider=True) for s in found]})

    async def submit(self, request: web.Request) -> web.Response:
        account = await self._callers.require(request)
        document = await read_object(request, ("image", "name", "tag"))
        image = text_field(document, "image", max_length=1000)
        name = text_field(document, "name", max_length=255)
        tag = text_field(document, "tag", max_length=128)
        check_trusted_name(name, tag)
        if "push" not in rights(account, name):
            raise Denied(f"{account.name} ({account.role}) may not submit to {name}", hint="ask for its community")
        submission = await self._ports.pull(image, f"{name}:{tag}", account)
        await self._ports.diary.note(account.name, "submit", submission.id, f"{image} as {name}:{tag}")
        return private(
            await self._document(submission, account), status=201, location=f"/api/v1/submissions/{submission.id}"
        )

    async def submission(self, request: web.Request) -> web.Response:
        account = await self._callers.optional(request)
        submission = await visible(self._ports.records, request.match_info["id"], account)
        if "wait" in request.query:
            seconds = parse_number(request.query["wait"], 1, most=MAX_WAIT_S)
            submission = await self._waited(submission, seconds)
        document = await self._document(submission, account)
        return private(document) if account is not None else public(document)

    async def _waited(self, submission: Submission, seconds: int) -> Submission:
        if self._waiting.locked():
            return submission
        async with self._waiting:
            return await self._ports.desk.wait(submission.id, seconds)

    async def review(self, request: web.Request) -> web.Response:
        account = await self._callers.require(request)
        submission = await visible(self._ports.records, request.match_info["id"], account)
        document = await read_object(request, ("decision", "comment"))
        word = text_field(document, "decision", max_length=20)
        comment = text_field(document, "comment", max_length=4000, default="")
        try:
            opinion = Opinion(word)
        except ValueError as error:
            raise BadInput(f"{word!r} is no decision; expected approve or reject") from error
        submission = await self._ports.desk.review(submission.id, account, opinion, comment)
        await self._ports.diary.note(account.name, f"review.{opinion}", submission.id, comment)
        return private(await self._document(submission, account), status=201)

    async def report(self, request: web.Request) -> web.Response:
        account = await self._callers.optional(request)
        body, is_public = await report_of(self._ports.records, Digest.parse(request.match_info["digest"]), account)
        headers = {**CROSS_ORIGIN, **REVALIDATE} if is_public else PRIVATE
        return web.Response(body=body, content_type="application/json", headers=headers)

    async def policy(self, request: web.Request) -> web.Response:
        body = await self._ports.policy(Digest.parse(request.match_info["digest"]))
        return web.Response(body=body, content_type="application/yaml", headers={**CROSS_ORIGIN, **REVALIDATE})

    async def revocations(self, request: web.Request) -> web.Response:
        """What is logged: before that, nobody hears of it."""
        found = [record for record in await self._ports.revocations.listing() if record.index is not None]
        return public({"revocations": [revocation_document(record) for record in found]})

    async def revoke(self, request: web.Request) -> web.Response:
        account = await self._callers.require(request)
        document = await read_object(request, ("digest", "reason"))
        digest = Digest.parse(text_field(document, "digest", max_length=200))
        reason = text_field(document, "reason", max_length=MAX_REASON)
        require_revoker(account, digest, await self._ports.records.listing(digest=digest, limit=10_000))
        record = await self._ports.revoker.revoke(digest, reason=reason, by=account.name)
        await self._ports.diary.note(account.name, "revoke", str(digest), reason)
        return private(revocation_document(record), status=201)

    async def whoami(self, request: web.Request) -> web.Response:
        return private(account_document(await self._callers.require(request)))

    async def version(self, request: web.Request) -> web.Response:
        origin = self._ports.origin
        return public(
            {
                "name": "gef-registry",
                "version": __version__,
                "api": "v1",
                "origin": origin.name,
                "public_url": origin.public_url,
                "trial": origin.trial,
            }
        )

    async def openapi(self, request: web.Request) -> web.Response:
        return public(self._openapi)

    async def _document(self, submission: Submission, account: Account | None) -> dict[str, object]:
        insider = is_insider(account, submission)
        reviews = await self._ports.records.reviews(submission.id)
        return {
            **submission_document(submission, insider=insider),
            "reviews": reviews_documents(reviews, insider=insider),
        }
