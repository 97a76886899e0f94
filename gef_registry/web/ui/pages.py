"""The pages: services, one service, one submission, the log."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from aiohttp import web

from gef_registry.admission.ports import Submission
from gef_registry.admission.states import State
from gef_registry.errors import GefError, NotFound
from gef_registry.signing.keyset import root_fingerprint
from gef_registry.transparency.note import Checkpoint, parse_checkpoint
from gef_registry.web.callers import REGISTRY, Callers
from gef_registry.web.ports import GatePorts
from gef_registry.web.services import MAX_QUERY, Services
from gef_registry.web.submissions import parse_report, visible
from gef_registry.web.ui.findings import Arranged, arrange
from gef_registry.web.ui.rendering import Pages
from gef_registry.web.visibility import is_insider

MAX_SHOWN = 200

STATE_WORDS: dict[State, tuple[str, str]] = {
    State.RECEIVED: ("Received", "The image waits to be judged."),
    State.JUDGING: ("Being judged", "The image is being fetched, hashed and checked."),
    State.WAITING: ("Waiting for review", "The checks leave this to people; until they decide, nothing is visible."),
    State.APPROVED: ("Approved", "The image is on its way to being admitted."),
    State.RESERVED: ("Approved", "The name is reserved; the statements are being signed."),
    State.SIGNED: ("Approved", "The statements are signed and go into the log."),
    State.LOGGED: ("Approved", "The admission is logged and is being published."),
    State.ADMITTED: ("Admitted", "Checked, signed, logged and published under its name, for good."),
    State.DENIED: ("Denied", "The policy refuses this image. Correct it and push again."),
    State.UNDECIDED: ("Undecided", "Something the policy requires could not be established, so nothing was admitted."),
    State.REJECTED: ("Rejected in review", "A reviewer refused this image."),
    State.CONFLICT: ("Conflict", "The name already means another digest. Push under a new tag."),
    State.REVOKED: ("Revoked", "The admission has ended; hosts that follow the log refuse this image."),
}
# How a state is coloured: good, bad, or still open.
STATE_TONE: dict[State, str] = {
    State.ADMITTED: "good",
    State.DENIED: "bad",
    State.REJECTED: "bad",
    State.CONFLICT: "bad",
    State.REVOKED: "bad",
    State.UNDECIDED: "bad",
}


class PageRoutes:
    """Handlers of the pages."""

    def __init__(self, ports: GatePorts, callers: Callers, services: Services, pages: Pages) -> None:
        self._ports = ports
        self._callers = callers
        self._services = services
        self._pages = pages

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.services),
            web.get("/services/{repository:.+}", self.service),
            web.get("/submissions/{id}", self.submission),
            web.get("/log", self.log),
            web.get("/static/style.css", self.style),
            web.get("/robots.txt", self.robots),
        ]

    async def services(self, request: web.Request) -> web.Response:
        query = request.query.get("q", "")[:MAX_QUERY].strip()
        found = await self._services.all(query)
        return self._pages.page("services.html", query=query, services=found[:MAX_SHOWN], total=len(found))

    async def service(self, request: web.Request) -> web.Response:
        repository = request.match_info["repository"]
        revoked = await self._services.revoked(repository)
        try:
            service = await self._services.one(repository)
        except NotFound:
            if not revoked:
                raise
            return self._pages.page("withdrawn.html", repository=repository, revoked=revoked)
        wanted = request.query.get("tag")
        shown = next((v for v in service.versions if v.submission.request.tag == wanted), None)
        if wanted is not None and shown is None:
            raise NotFound(f"{repository} has no admitted version under the tag {wanted[:128]!r}")
        shown = shown or service.current
        return self._pages.page(
            "service.html",
            service=service,
            shown=shown,
            request=shown.submission.request,
            declared=shown.description,
            revoked=revoked,
            log_index=await self._services.log_index(shown.submission),
            address=f"{self._host}/{repository}",
        )

    async def submission(self, request: web.Request) -> web.Response:
        """`?sign-in` asks the browser for a name and a token; without it strangers see what is admitted."""
        account = await self._callers.optional(request, kinds=REGISTRY)
        if account is None and "sign-in" in request.query:
            return self._ask_who()
        try:
            submission = await visible(self._ports.records, request.match_info["id"], account)
        except NotFound as error:
            return self._pages.page(
                "hidden.html", status=404, private=True, message=error.message, may_sign_in=account is None
            )
        insider = is_insider(account, submission)
        return self._pages.page(
            "submission.html",
            private=account is not None,
            submission=submission,
            request=submission.request,
            insider=insider,
            words=STATE_WORDS[submission.state],
            tone=STATE_TONE.get(submission.state, "open"),
            reviews=await self._ports.records.reviews(submission.id),
            report=await self._report(submission),
            waiting=submission.state is State.WAITING,
            moving=submission.state not in STATE_TONE and submission.state is not State.WAITING,
        )

    async def log(self, request: web.Request) -> web.Response:
        note = (await self._ports.log_files("checkpoint")).decode("utf-8", "replace")
        fingerprint = root_fingerprint(await self._ports.log_files("keys"))
        return self._pages.page(
            "log.html",
            note=note,
            lines=note.rstrip("\n").split("\n"),
            checkpoint=_parsed(note),
            fingerprint=fingerprint,
        )

    async def style(self, request: web.Request) -> web.Response:
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return web.Response(body=self._pages.style, content_type="text/css", charset="utf-8", headers=headers)

    async def robots(self, request: web.Request) -> web.Response:
        return web.Response(text="User-agent: *\nDisallow: /v2/\nDisallow: /submissions/\n")

    @property
    def _host(self) -> str:
        """Where images are pulled from: the public address, whatever a request calls us."""
        origin = self._ports.origin
        return urlsplit(origin.public_url).netloc or origin.name

    async def _report(self, submission: Submission) -> Arranged | None:
        if submission.report_digest is None:
            return None
        try:
            body = await self._ports.records.report(submission.report_digest)
            return await asyncio.to_thread(lambda: arrange(parse_report(body)))
        except GefError:
            return None

    def _ask_who(self) -> web.Response:
        response = self._pages.problem(401, "this page is for whoever pushed the image and for its reviewers", None)
        response.headers["WWW-Authenticate"] = 'Basic realm="gef-registry: account name and token", charset="UTF-8"'
        return response


def _parsed(note: str) -> Checkpoint | None:
    try:
        return parse_checkpoint(note.partition("\n\n")[0] + "\n")
    except GefError:
        return None
