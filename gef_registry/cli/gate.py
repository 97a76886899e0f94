"""What the commands that ask a gate share: where it is, who asks, and how a submission is printed.

Exit codes by state: 0 admitted · 1 denied, rejected, conflict or revoked · 4 waits for review · 3 anything else, since
there is no verdict (yet).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gef_registry.errors import BadInput, Unavailable

if TYPE_CHECKING:
    from gef_registry.wiring.gate_client import GateClient

T = TypeVar("T")

GateOption = Annotated[
    str | None,
    typer.Option("--gate", metavar="URL", envvar="GEF_REGISTRY_GATE", help="Address of the gate.", show_default=False),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        envvar="GEF_REGISTRY_TOKEN",
        help="API token; better in the variable, since others see a command line.",
        show_default=False,
    ),
]
FormatOption = Annotated[str, typer.Option("--format", "-f", metavar="table|json", help="How the answer is written.")]

_CODES = {"admitted": 0, "denied": 1, "rejected": 1, "conflict": 1, "revoked": 1, "waiting": 4}
DECIDED = frozenset({*_CODES, "undecided"})
WAIT_S = 30
PATIENCE = 5


def exit_code(state: str) -> int:
    return _CODES.get(state, 3)


def with_gate(gate: str | None, token: str | None, act: Callable[[GateClient], Awaitable[T]]) -> T:
    """Runs `act` with a client for the gate that is named, or set. Raises BadInput when none is."""
    import asyncio

    from gef_registry.settings import load_settings
    from gef_registry.wiring.gate_client import GateClient

    settings = load_settings(flags={"client.gate": gate, "client.token": token}).client
    if settings.gate is None:
        raise BadInput("no gate is named", hint="give --gate URL, or set GEF_REGISTRY_GATE")
    client = GateClient(settings.gate, settings.token, timeout_s=settings.timeout_s)

    async def run() -> T:
        async with client:
            return await act(client)

    return asyncio.run(run())


async def watch(client: GateClient, submission_id: str, *, tell: Callable[[str], None]) -> dict[str, Any]:
    """The submission once it is decided or needs a human. Outlives a restart of the gate."""
    import asyncio

    state, failures = "", 0
    while True:
        try:
            found = await client.get(submission_path(submission_id), {"wait": str(WAIT_S)}, wait_s=WAIT_S)
        except Unavailable:
            failures += 1
            if failures > PATIENCE:
                raise
            await asyncio.sleep(failures)
            continue
        failures = 0
        if text(found, "state") != state:
            state = text(found, "state")
            tell(state)
        if state in DECIDED:
            return found
        await asyncio.sleep(0.2)


def tell_on_terminal(state: str) -> None:
    """Progress goes to stderr, and only to people."""
    if sys.stderr.isatty():
        sys.stderr.write(f"{state} …\n")


def submission_path(submission_id: str) -> str:
    """Raises BadInput for what is no id, so that nothing else gets into the path."""
    if not (submission_id.isascii() and submission_id.replace("-", "").replace("_", "").isalnum()):
        raise BadInput(f"{submission_id[:80]!r} is not the id of a submission")
    return f"/api/v1/submissions/{submission_id}"


def check_format(wanted: str) -> str:
    if wanted not in ("table", "json"):
        raise BadInput(f"--format {wanted[:40]!r} is neither table nor json")
    return wanted


def print_json(document: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=True) + "\n")


def print_submission(document: Mapping[str, Any], gate: str) -> None:
    """A submission for people: what, where it stands, why, where to read more."""
    from gef_registry.policy.wording import plain

    lines = [
        ("submission", text(document, "id")),
        ("name", f"{text(document, 'repository')}:{text(document, 'tag')}"),
        ("digest", text(document, "digest")),
        ("state", text(document, "state")),
    ]
    reasons = document.get("reasons")
    lines += [("because", reason) for reason in reasons if isinstance(reason, str)] if isinstance(reasons, list) else []
    lines += [("page", f"{gate}/submissions/{text(document, 'id')}")]
    for name, value in lines:
        sys.stdout.write(f"{name:<11} {plain(value)}\n")


def text(document: Mapping[str, Any], key: str) -> str:
    """A text field of an answer, "" when it is none."""
    value = document.get(key)
    return value if isinstance(value, str) else ""


def objects(document: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """A list of objects in an answer. Raises Unavailable: a gate answers otherwise."""
    value = document.get(key)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Unavailable(f"the gate's answer has no list of {key}")
    return value
