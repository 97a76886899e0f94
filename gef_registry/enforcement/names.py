"""What a person calls an image, looked up in a view. The answer is what `decide` is asked about.

    sha256:HEX                             a digest: manifest, index or image id
    [HOST/]COMMUNITY-PATH[:TAG][@DIGEST]   `trusted/c/s`, `c/s` or `s`, with any host in front: names bind by repository,
                                           not by the place they are pulled from, so that mirrors work

Without tag and digest the highest version that still counts is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gef_registry.enforcement.view import View
from gef_registry.errors import BadInput
from gef_registry.oci.digest import Digest
from gef_registry.oci.reference import is_repository, is_tag

MAX_LENGTH = 512


@dataclass(frozen=True, slots=True)
class Target:
    """A digest, a name `REPOSITORY:TAG` as it stands in statements, or both."""

    digest: Digest | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class _Words:
    path: str
    tag: str | None
    digest: Digest | None


def resolve(view: View, text: str, order: Callable[[str], Any]) -> Target:
    """`order` sorts tags, the highest version last. A name that leads nowhere is passed on as it is, for `decide` to refuse.

    Raises BadInput: not a name, or one that several repositories have.
    """
    if text.startswith("sha256:"):
        return Target(Digest.parse(text))
    words = _split(text.removeprefix("docker://"))
    repository = _repository(view, words.path)
    if words.tag is not None:
        return Target(words.digest, f"{repository}:{words.tag}")
    tags = sorted((name.rpartition(":")[2] for name in view.names if name.rpartition(":")[0] == repository), key=order)
    names = [f"{repository}:{tag}" for tag in reversed(tags)]
    if words.digest is not None:
        holding = [name for name in names if _holds(view, name, words.digest)]
        return Target(words.digest, _first_live(view, holding) or f"{repository}:*")
    return Target(None, _first_live(view, names) or f"{repository}:latest")


def _split(text: str) -> _Words:
    if len(text) > MAX_LENGTH:
        raise BadInput(f"a name of {len(text)} characters; at most {MAX_LENGTH}")
    rest, at, digest = text.partition("@")
    head, colon, last = rest.rpartition(":")
    path, tag = (head, last) if colon and "/" not in last else (rest, None)
    if tag is not None and not is_tag(tag):
        raise BadInput(f"{text[:200]!r}: {tag[:140]!r} is not a tag")
    if not is_repository(_without_host(path)):
        raise BadInput(f"{text[:200]!r} is not the name of an image", hint="write COMMUNITY/SERVICE:TAG or sha256:…")
    return _Words(path, tag, Digest.parse(digest) if at else None)


def _without_host(path: str) -> str:
    first, slash, rest = path.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost" or first.lower() != first)
    return rest if is_host else path


def _repository(view: View, path: str) -> str:
    known = {name.rpartition(":")[0] for name in view.names}
    for candidate in (path, _without_host(path)):
        if candidate in known:
            return candidate
    bare = _without_host(path)
    ending = sorted(repository for repository in known if repository.endswith("/" + bare))
    if len(ending) > 1:
        raise BadInput(f"{bare!r} may mean {', '.join(ending[:10])}", hint="write the community in front")
    return ending[0] if ending else bare


def _holds(view: View, name: str, digest: Digest) -> bool:
    owners = (digest, *view.image_ids.get(digest, ()))
    return any(admitted.admission.name == name for owner in owners for admitted in view.admissions.get(owner, ()))


def _first_live(view: View, names: Sequence[str]) -> str | None:
    """The first name whose admission counts; else the first, so that the refusal says why."""
    for name in names:
        root = view.names[name]
        if any(a.admission.name == name and view.is_live(a) for a in view.admissions.get(root, ())):
            return name
    return names[0] if names else None
