"""Lists that a registry gives in pages: tags, and referrers with the tag schema as fallback (distribution-spec 1.1).

Pages are followed on the registry's own origin only, each once, and counted: a registry cannot keep a client busy for ever.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable

from yarl import URL

from gef_registry.distribution.client.answers import Answer
from gef_registry.distribution.client.exchange import Call, Exchange
from gef_registry.errors import BadInput, NotFound, Unavailable
from gef_registry.oci import media, strict_json
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import MAX_MANIFEST_BYTES, Descriptor, Index, parse_manifest
from gef_registry.oci.reference import Reference, is_tag

MAX_PAGES = 1000
_PAGE = 1000
_NO_API = (200, 400, 404, 405, 501)  # how registries without the referrers API say so
_NEXT = re.compile(r'<([^<>]{0,4096})>[ \t]*;[^<>]*?\brel="?next"?', re.ASCII)


async def list_tags(exchange: Exchange, reference: Reference, *, limit: int) -> list[str]:
    """The tags of a repository, at most `limit`, in the registry's order. Raises NotFound, Unavailable (too many)."""
    what = f"the tags of {reference.host}/{reference.repository}"
    tags: list[str] = []
    async for answer in _pages(exchange, reference, f"/v2/{reference.repository}/tags/list?n={_PAGE}", what):
        try:
            found = strict_json.load_object(answer.body, what=what).get("tags") or []
        except BadInput as error:
            raise Unavailable(error.message) from error
        if not isinstance(found, list) or not all(isinstance(tag, str) and is_tag(tag) for tag in found):
            raise Unavailable(f"{what}: the registry sent something that is not a list of tags")
        tags += found
        if len(tags) > limit:
            raise Unavailable(f"{what}: more than {limit}")
    return tags


async def list_referrers(
    exchange: Exchange, reference: Reference, subject: Digest, *, artifact_type: str | None, limit: int
) -> tuple[Descriptor, ...]:
    """What refers to `subject`, each digest once: the referrers API, and where there is none the tag `sha256-<hex>`."""
    query = f"?artifactType={_quoted(artifact_type)}" if artifact_type else ""
    path = f"/v2/{reference.repository}/referrers/{subject}{query}"
    what = f"the referrers of {subject} in {reference.host}/{reference.repository}"
    found: dict[Digest, Descriptor] = {}
    async for answer in _pages(exchange, reference, path, what, accept=media.OCI_INDEX, expected=_NO_API):
        index = _index(answer, what)
        if index is None:
            return await _tagged_referrers(exchange, reference, subject, artifact_type)
        found |= {d.digest: d for d in index.manifests}
        if len(found) > limit:
            raise Unavailable(f"{what}: more than {limit}")
    return _of_type(found.values(), artifact_type)


def fallback_tag(subject: Digest) -> str:
    """The tag of the referrers tag schema."""
    return f"{subject.algorithm}-{subject.hex}"[:128]


async def fallback_index(exchange: Exchange, reference: Reference, subject: Digest) -> Index | None:
    """The index kept under the fallback tag; None when there is none. Raises Unavailable when it is not an index."""
    tag = fallback_tag(subject)
    what = f"{reference.host}/{reference.repository}:{tag}"
    call = Call("GET", reference, f"/v2/{reference.repository}/manifests/{tag}", what,
                headers={"Accept": ", ".join(media.ACCEPT)}, max_body=MAX_MANIFEST_BYTES)  # fmt: skip
    try:
        answer = await exchange.fetch(call)
    except NotFound:
        return None
    index = _index(answer, what)
    if index is None:
        raise Unavailable(f"{what}: the referrers tag holds something that is not an index")
    return index


async def _tagged_referrers(
    exchange: Exchange, reference: Reference, subject: Digest, artifact_type: str | None
) -> tuple[Descriptor, ...]:
    index = await fallback_index(exchange, reference, subject)
    return _of_type(index.manifests, artifact_type) if index is not None else ()


def _of_type(descriptors: Iterable[Descriptor], artifact_type: str | None) -> tuple[Descriptor, ...]:
    """Registries may ignore the filter, so it is applied here again."""
    distinct = {d.digest: d for d in descriptors}
    return tuple(d for d in distinct.values() if artifact_type is None or d.artifact_type == artifact_type)


def _index(answer: Answer, what: str) -> Index | None:
    """None for an answer that is something else, such as an error or a page of a proxy."""
    if answer.status != 200 or answer.headers.get("Content-Type", "").partition(";")[0].strip() not in media.INDEXES:
        return None
    try:
        parsed = parse_manifest(answer.body, answer.headers.get("Content-Type"), what=what)
    except BadInput as error:
        raise Unavailable(error.message) from error
    return parsed if isinstance(parsed, Index) else None


async def _pages(
    exchange: Exchange,
    reference: Reference,
    path: str,
    what: str,
    *,
    accept: str = "application/json",
    expected: tuple[int, ...] = (200,),
) -> AsyncIterator[Answer]:
    seen: set[str] = set()
    for _ in range(MAX_PAGES):
        seen.add(path)
        answer = await exchange.fetch(Call("GET", reference, path, what, headers={"Accept": accept}), expected=expected)
        yield answer
        following = _next_path(answer, what)
        if following is None:
            return
        if following in seen:
            raise Unavailable(f"{what}: the registry's pages lead in a circle")
        path = following
    raise Unavailable(f"{what}: more than {MAX_PAGES} pages")


def _next_path(answer: Answer, what: str) -> str | None:
    match = _NEXT.search(answer.headers.get("Link", ""))
    if match is None:
        return None
    try:
        here = URL(answer.url, encoded=True)
        target = here.join(URL(match[1], encoded=True))
        foreign = target.host != here.host or not target.raw_path.startswith("/v2/")
    except ValueError as error:
        raise Unavailable(f"{what}: the next page's address is not a URL") from error
    if foreign:
        raise Unavailable(f"{what}: the next page is on another host")
    return target.raw_path_qs


def _quoted(text: str) -> str:
    return URL.build(query={"q": text}).raw_query_string.removeprefix("q=")
