"""A host's commands: pin a gate, follow its log, ask about an image. Used by `host …` and `verify`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gef_registry.enforcement.decide import Decision, Reason, decide
from gef_registry.enforcement.follower import KEYS, Follower
from gef_registry.enforcement.http_fetch import HttpFetch, gate_url
from gef_registry.enforcement.names import resolve
from gef_registry.enforcement.view import View
from gef_registry.enforcement.view_directory import Pin, ViewDirectory
from gef_registry.errors import BadInput, Conflict, NotFound, Unavailable, VerificationFailed
from gef_registry.oci.digest import Digest
from gef_registry.service.version import is_version, parse_version
from gef_registry.signing.keyset import open_keyset, root_fingerprint

VIEW_VARIABLE = "GEF_REGISTRY_VIEW"
Confirm = Callable[[str, str], bool]


def default_view_directory(environment: Mapping[str, str]) -> Path:
    """`$GEF_REGISTRY_VIEW`, else the machine's view for root, else the user's."""
    named = environment.get(VIEW_VARIABLE)
    if named:
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/gef-registry/view")
    return Path.home() / ".local/share/gef-registry/view"


def version_order(tag: str) -> tuple[int, object, str]:
    """Sorts tags: those that are no versions first, then versions by precedence, the highest last."""
    return (1, parse_version(tag).precedence, tag) if is_version(tag) else (0, (), tag)


async def pin_gate(directory: Path, gate: str, fingerprint: str | None, confirm: Confirm | None) -> tuple[Pin, View]:
    """Pins a gate's root key and makes the first sync. `confirm(gate, fingerprint)` asks a person when none was given.

    Raises Conflict when the view already follows another gate, VerificationFailed when the fingerprint is another one,
    BadInput when there is neither a fingerprint nor anybody to ask.
    """
    files, gate = ViewDirectory(directory), gate_url(gate)
    if fingerprint is not None:
        Digest.parse(fingerprint)  # BadInput for what cannot be one
    pinned = files.pin()
    async with HttpFetch(gate) as fetch:
        try:
            raw = await fetch(KEYS)
        except NotFound as error:
            raise Unavailable(f"{gate} serves no key set: is this the address of a gate?") from error
        found = root_fingerprint(raw)
        if fingerprint is not None:
            open_keyset(raw, fingerprint)
        elif pinned is None or pinned.root_fingerprint != found:
            _ask(confirm, gate, found)
        if pinned is not None and pinned.root_fingerprint != found:
            raise Conflict(
                f"the view in {directory} follows the gate with the root key {pinned.root_fingerprint}, not {found}",
                hint="use another --view, or remove that one",
            )
        view = await Follower(directory, fetch, found, time.time).sync()
    pin = Pin(gate, found)
    files.write_pin(pin)
    return pin, view


def _ask(confirm: Confirm | None, gate: str, fingerprint: str) -> None:
    if confirm is None:
        raise BadInput(
            f"{gate} has the root key {fingerprint}, and nobody said that it is the right one",
            hint="get the fingerprint from the gate's operator and give it with --fingerprint",
        )
    if not confirm(gate, fingerprint):
        raise VerificationFailed("the gate's root key was not confirmed; nothing was pinned")


def require_pin(directory: Path) -> Pin:
    """Raises Unavailable: without a pin there is no view that could decide anything."""
    pin = ViewDirectory(directory).pin()
    if pin is None:
        raise Unavailable(
            f"there is no view in {directory}",
            hint="run `gef-registry host init --gate URL --fingerprint sha256:…`, or name one with --view",
        )
    return pin


@dataclass(frozen=True, slots=True)
class HostView:
    """A view with where it came from; `note` says why it is not the newest, when it is not."""

    pin: Pin
    view: View | None
    note: str | None = None


async def sync_view(directory: Path) -> HostView:
    """Brings the view up to date. Raises Unavailable, VerificationFailed."""
    pin = require_pin(directory)
    async with HttpFetch(pin.gate) as fetch:
        return HostView(pin, await Follower(directory, fetch, pin.root_fingerprint, time.time).sync())


async def load_view(directory: Path) -> HostView:
    """The view on disk, verified; the gate is not asked."""
    pin = require_pin(directory)
    async with HttpFetch(pin.gate) as fetch:
        return HostView(pin, await Follower(directory, fetch, pin.root_fingerprint, time.time).load())


async def current_view(directory: Path) -> HostView:
    """The newest view there is: synced, or what is on disk when the gate cannot be reached.

    Raises Unavailable when there is neither, VerificationFailed when the gate or the view lies.
    """
    try:
        return await sync_view(directory)
    except Unavailable as error:
        found = await load_view(directory)
        if found.view is None:
            raise
        return HostView(found.pin, found.view, f"the gate could not be asked, this is from the view: {error.message}")


def ask(found: HostView, text: str, *, now: int, max_age_s: int) -> Decision:
    """The decision about what a person calls an image. Raises BadInput for what is no name."""
    if found.view is None:
        return decide(None, now=now)
    target = resolve(found.view, text, version_order)
    return decide(found.view, digest=target.digest, name=target.name, now=now, max_age_s=max_age_s)


def exit_code(decision: Decision) -> int:
    """0 allowed, 1 refused, 3 when there was nothing to decide with."""
    if decision.allowed:
        return 0
    return 3 if decision.reason is Reason.NO_VIEW else 1
