"""`gef-registry demo`: the whole chain in a temporary directory, with real processes and nothing but Python.

A gate is started; a good service is pushed and admitted, a bad one refused with each reason, another image under the
admitted name refused; a host follows the log and verifies; a stored byte is changed and found. What is printed are the
commands a user would type and what they answer. Any step that does not go as it must ends the demonstration with exit 1.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gef_registry.distribution.client import (
    ClientSettings,
    Credential,
    FixedCredentials,
    RegistryClient,
    content_of_bytes,
)
from gef_registry.errors import Conflict, Denied, GefError, NotFound, Unavailable
from gef_registry.oci import media
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor
from gef_registry.oci.reference import Reference
from gef_registry.wiring.demo_image import DemoImage, bad_image, good_image
from gef_registry.wiring.keyring import load_keyset

START_S = 30.0
COMMAND_S = 60.0
REPOSITORY, TAG = "trusted/demo/line-counter", "1.0.0"

Say = Callable[[str, str], None]


class DemoFailed(GefError):
    """The demonstration did not go as it must."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class _Stage:
    """Where the demonstration plays. `say(kind, text)`: kind is `step`, `command`, `answer`, `good` or `bad`."""

    directory: Path
    host: str
    client: RegistryClient
    say: Say
    good: DemoImage
    bad: DemoImage

    @property
    def data(self) -> Path:
        return self.directory / "gate"

    def reference(self, tag: str | None = TAG, digest: Digest | None = None) -> Reference:
        return Reference(self.host, REPOSITORY, tag, digest)


async def demonstrate(say: Say) -> None:
    """Raises DemoFailed when a step does not end as it must."""
    with tempfile.TemporaryDirectory(prefix="gef-registry-demo-") as name:
        directory = Path(name)
        say("step", "A gate is started; its first start makes keys, a log and an administrator.")
        gate, address = await _start(directory, say)
        try:
            await _play(directory, address.removeprefix("http://"), say)
        finally:
            gate.terminate()
            await gate.wait()


async def _play(directory: Path, host: str, say: Say) -> None:
    say("step", "Ada, an author of the community 'demo', gets an account.")
    output = await _run(
        directory, say, "account", "add", "ada", "--role", "author", "--community", "demo", shown_last_word="…"
    )
    credentials = FixedCredentials({host: Credential("ada", output.split()[-1])})
    async with RegistryClient(ClientSettings(plain_http=frozenset({host})), credentials) as client:
        stage = _Stage(directory, host, client, say, good_image(), bad_image())
        await _admission(stage)
        await _verification(stage)
        await _tampering(stage)


async def _admission(stage: _Stage) -> None:
    say = stage.say
    say("step", "She pushes a good service. The push waits for the verdict; only then the image becomes visible.")
    say("command", f"docker push {stage.reference()}")
    await _push(stage, stage.good, TAG)
    say("good", f"admitted: {stage.good.digest}")
    say("step", "She pushes a bad one: root, no labels, a password, and a private key that a later layer deletes.")
    say("command", f"docker push {stage.reference('2.0.0')}")
    await _push_refused(stage, stage.bad, "2.0.0", Denied)
    say("step", "She pushes another image under the admitted name. A trusted name never changes its digest.")
    say("command", f"docker push {stage.reference()}")
    await _push_refused(stage, good_image("rebuilt"), TAG, Conflict)
    say("step", "The same image again is fine.")
    await _push(stage, stage.good, TAG)
    say("good", "201, nothing changed")


async def _verification(stage: _Stage) -> None:
    say = stage.say
    say(
        "step",
        "A host near the data follows the gate's log and keeps its own view. It never asks the gate whom to trust.",
    )
    _, keyset = load_keyset(stage.data / "keys")
    view = ("--view", str(stage.directory / "view"))
    await _run(
        stage.directory, say, "host", "init", "--gate", f"http://{stage.host}",
        "--fingerprint", keyset.root.fingerprint, *view, data=False,
    )  # fmt: skip
    await _run(stage.directory, say, "verify", f"{REPOSITORY}:{TAG}", *view, data=False)
    say("step", "The refused image is not in the log, so the host refuses it too.")
    await _run(stage.directory, say, "verify", str(stage.bad.digest), *view, data=False, expected=1)


async def _tampering(stage: _Stage) -> None:
    say = stage.say
    say("step", "Somebody changes one byte of the stored image, on the gate's own disk.")
    layer = stage.good.blobs[1]
    digest = Digest.of(layer)
    path = stage.data / "blobs" / digest.algorithm / digest.hex[:2] / digest.hex
    content = bytearray(await asyncio.to_thread(path.read_bytes))
    content[len(content) // 2] ^= 1
    await asyncio.to_thread(path.write_bytes, content)
    say("command", f"docker pull {stage.reference()}")
    try:
        async for _ in stage.client.blob(stage.reference(), Descriptor(media.OCI_LAYER_GZIP, digest, len(layer))):
            pass
    except (NotFound, Unavailable) as error:
        say("bad", f"not served: {error.message}")
    else:
        raise DemoFailed("the altered layer was served")
    say("step", "The log itself is whole: every entry, tile, signature and statement, hashed again.")
    await _run(stage.directory, say, "log", "audit")


async def _push(stage: _Stage, image: DemoImage, tag: str) -> None:
    for blob in image.blobs:
        descriptor = Descriptor("application/octet-stream", Digest.of(blob), len(blob))
        await stage.client.upload_blob(stage.reference(tag), descriptor, content_of_bytes(blob))
    await stage.client.put_manifest(stage.reference(tag), image.manifest, media.OCI_MANIFEST)


async def _push_refused(stage: _Stage, image: DemoImage, tag: str, kind: type[GefError]) -> None:
    try:
        await _push(stage, image, tag)
    except kind as error:
        # What docker prints: the registry's own words, here a reason a line.
        for reason in error.message.rpartition("DENIED ")[2].split("; "):
            stage.say("bad", reason)
        return
    raise DemoFailed(f"the image was accepted as {stage.reference(tag)}")


async def _start(directory: Path, say: Say) -> tuple[asyncio.subprocess.Process, str]:
    arguments = ("serve", "--data", str(directory / "gate"), "--listen", "127.0.0.1:0", "--log-level", "warning")
    say("command", "gef-registry serve --data gate --listen 127.0.0.1:0")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gef_registry", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            line = (await process.stdout.readline()).decode().strip()
    except TimeoutError as error:
        process.kill()
        raise DemoFailed(f"the gate did not start within {START_S:.0f} s") from error
    if not line:
        await process.wait()
        raise DemoFailed("the gate did not start", hint="run 'gef-registry serve --data DIR' to see why")
    say("answer", line)
    return process, line.split()[-1]


async def _run(
    directory: Path, say: Say, *arguments: str, data: bool = True, expected: int = 0, shown_last_word: str | None = None
) -> str:
    """Runs a command as a user would, shows it and what it answers; stdout, if it ended as expected."""
    shown = " ".join(arguments).replace(str(directory) + "/", "")
    say("command", f"gef-registry {shown}")
    where = ("--data", str(directory / "gate")) if data else ()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gef_registry", *arguments, *where,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(COMMAND_S):
            out, err = (part.decode(errors="replace").strip() for part in await process.communicate())
    except TimeoutError as error:
        process.kill()
        raise DemoFailed(f"gef-registry {shown}: no answer within {COMMAND_S:.0f} s") from error
    answer = f"{out.rsplit(' ', 1)[0]} {shown_last_word}" if shown_last_word else out
    for line in "\n".join(filter(None, (answer, err))).splitlines():
        say("good" if expected == 0 else "bad", line.replace(str(directory) + "/", ""))
    if process.returncode != expected:
        raise DemoFailed(f"gef-registry {shown} ended with {process.returncode}, expected {expected}")
    return out
