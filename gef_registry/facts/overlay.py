"""What a container sees of a file after all layers: the effective `/etc/passwd`, and what became of the keys found."""

from __future__ import annotations

from collections.abc import Sequence

from gef_registry.facts import listing
from gef_registry.facts.listing import fates, normalised
from gef_registry.facts.model import Fate, KeptFile, LayerContent, LayerFacts, LayerKey, Passwd, PasswdState

_MAX_LINKS = 8


def layer_keys(layers: Sequence[LayerFacts]) -> tuple[LayerKey, ...]:
    """Every key of every layer that could be read, with the fate of its file."""
    found: list[LayerKey] = []
    for number, layer in enumerate(layers):
        if layer.content is None or not layer.content.keys:
            continue
        above = [later.content.listing for later in layers[number + 1 :] if later.content]
        paths = {key.path for key in layer.content.keys if key.path is not None}
        fate_of = fates(paths, above)
        found += [
            LayerKey(key, number, layer.content.diff_id, fate_of.get(key.path or "", Fate.VISIBLE))
            for key in layer.content.keys
        ]
    return tuple(found)


def effective_passwd(layers: Sequence[LayerFacts]) -> Passwd:
    """The `/etc/passwd` of the merged layers, links followed as far as their targets were kept."""
    contents = [layer.content for layer in layers if layer.content]
    if len(contents) != len(layers):
        return Passwd(PasswdState.UNRESOLVED, reason="not every layer could be read")
    directory = _effective("etc", contents)
    if directory is not None and directory.kind == listing.SYMLINK:
        return Passwd(PasswdState.UNRESOLVED, reason="/etc is a symbolic link")
    path = "etc/passwd"
    for _ in range(_MAX_LINKS):
        file = _effective(path, contents)
        if file is None and path == "etc/passwd":
            return Passwd(PasswdState.ABSENT)
        if file is None:
            return Passwd(PasswdState.UNRESOLVED, reason="/etc/passwd is a link whose target was not read")
        if file.kind == listing.FILE:
            if file.content is None:
                return Passwd(PasswdState.UNRESOLVED, reason="/etc/passwd is too large")
            return Passwd(PasswdState.PRESENT, file.content)
        if file.kind not in (listing.SYMLINK, listing.HARDLINK):
            return Passwd(PasswdState.UNRESOLVED, reason="/etc/passwd is not a file")
        path = _target(file)
    return Passwd(PasswdState.UNRESOLVED, reason="/etc/passwd is a chain of links")


def _target(link: KeptFile) -> str:
    if link.kind == listing.HARDLINK or link.target.startswith("/"):
        return normalised(link.target)
    return normalised(f"{link.path.rpartition('/')[0]}/{link.target}")


def _effective(path: str, contents: Sequence[LayerContent]) -> KeptFile | None:
    """What stands at a path: the topmost layer that holds it, unless a layer above it took it away."""
    for content in reversed(contents):
        for file in content.files:
            if file.path == path:
                return file
        if fates([path], [content.listing])[path] is not Fate.VISIBLE:
            return None
    return None
