"""`gef-registry serve`: registry, tokens, API, log, pages and workers in one process.

Rules at the start: without TLS only a loopback address, unless a proxy in front does it; without a named policy only a
loopback address, with the policy `development`. The first start makes keys and an administrator, whose token goes to a
file that only the owner reads (and to a terminal, if there is one).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from gef_registry.admission.ports import Observer
from gef_registry.admission.rights import Role
from gef_registry.distribution.server import Limits, registry_routes
from gef_registry.errors import BadInput, Conflict, NotFound, Unavailable
from gef_registry.store.accounts import new_token
from gef_registry.web.access import HttpAccess
from gef_registry.web.app import RUNNER_OPTIONS, build_app
from gef_registry.web.ports import Origin
from gef_registry.wiring.gate import Gate, GateConfig
from gef_registry.wiring.gate_ports import gate_ports
from gef_registry.wiring.identity import TRIAL_URL
from gef_registry.wiring.token_key import token_issuer

log = logging.getLogger(__name__)

ADMIN = "admin"
ADMIN_TOKEN_FILE = "admin-token"
CERTIFICATE_CHECK_S = 30.0
SHUTDOWN_S = 10.0
BACKLOG = 1024

Started = Callable[[str, str | None], None]


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """Where to listen and how. `host` is a name or an address; `port` 0 takes a free one."""

    gate: GateConfig
    host: str
    port: int
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False
    policy_named: bool = True


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_listening(
    host: str, *, tls: bool, behind_proxy: bool, policy_named: bool, public_url: str | None = None
) -> None:
    """Raises BadInput for a combination that would serve strangers unsafely. A gate behind a proxy, or with a public
    address of its own, serves strangers wherever it listens."""
    public = behind_proxy or (public_url is not None and not is_loopback(urlsplit(public_url).hostname or ""))
    if is_loopback(host) and not public:
        return
    if not is_loopback(host) and not tls and not behind_proxy:
        raise BadInput(
            f"{host} is not a loopback address and there is no TLS",
            hint="give --tls-cert and --tls-key, or --behind-proxy when a proxy does TLS",
        )
    if not policy_named:
        raise BadInput("a gate that others reach needs a named policy", hint="give --policy default or --policy strict")


async def serve(config: ServeConfig, *observers: Observer, started: Started | None = None) -> None:
    """Runs until SIGTERM or SIGINT. `started` hears the address, and a first administrator's token, once requests are
    answered. Raises Unavailable (address in use, data locked or damaged) and what `Gate.open` raises."""
    listening = _bind(config)
    async with await Gate.open(config.gate) as gate:
        context = _tls(config)
        origin = _origin(gate, listening, tls=context is not None)
        gate.base_url = origin.public_url
        runner = _runner(config, gate, origin)
        try:
            await runner.setup()
            await web.SockSite(runner, listening, ssl_context=context, backlog=BACKLOG).start()
            token = await first_administrator(gate)
            log.info("serving %s as %s", _address(listening, context), gate.keyring.keyset.verifier_id)
            if started is not None:
                started(_address(listening, context), token)
            await _until_told(gate, context, config, observers)
        finally:
            await runner.cleanup()


async def _until_told(
    gate: Gate, context: ssl.SSLContext | None, config: ServeConfig, observers: tuple[Observer, ...]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as tasks:
        background = [tasks.create_task(gate.run(*observers))]
        if context is not None:
            background.append(tasks.create_task(_reload_certificate(context, config)))
        await stop.wait()
        for task in background:
            task.cancel()


def _runner(config: ServeConfig, gate: Gate, origin: Origin) -> web.AppRunner:
    issuer = token_issuer(gate.keyring, gate.config.data / "keys", origin)
    ports = gate_ports(gate, origin)
    access = HttpAccess(gate.accounts, issuer, origin)
    routes = registry_routes(gate.blobs, gate.catalogue, access, gate.push_gate, Limits())
    application = build_app(ports, issuer, access, routes, behind_proxy=config.behind_proxy)
    return web.AppRunner(
        application,
        access_log=None,
        shutdown_timeout=SHUTDOWN_S,
        **RUNNER_OPTIONS,
    )


def _bind(config: ServeConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise Unavailable(
            f"cannot listen on {config.host}:{config.port}: {error.strerror or error}",
            hint="another program may use the address: choose another with --listen",
        ) from error


def _address(listening: socket.socket, context: ssl.SSLContext | None) -> str:
    host, port = listening.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if context else 'http'}://{host}:{port}"


def _origin(gate: Gate, listening: socket.socket, *, tls: bool) -> Origin:
    """Clients are sent to the public URL, always; to the address that is listened on when no URL was ever given."""
    keyset = gate.keyring.keyset
    base = keyset.verifier_id
    if keyset.verifier_id == TRIAL_URL:
        host, port = listening.getsockname()[:2]
        host = "localhost" if ip_address(host).is_unspecified else f"[{host}]" if ":" in host else host
        base = f"{'https' if tls else 'http'}://{host}:{port}"
    return Origin(
        public_url=base,
        name=keyset.name,
        trial=gate.trial,
        realm=f"{base}/token",
        service=keyset.name,
    )


def _tls(config: ServeConfig) -> ssl.SSLContext | None:
    if config.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_certificate(context, config)
    return context


def _load_certificate(context: ssl.SSLContext, config: ServeConfig) -> None:
    assert config.tls_cert is not None
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key)
    except FileNotFoundError as error:
        raise NotFound(f"the TLS certificate or key is missing: {config.tls_cert}, {config.tls_key}") from error
    except (ssl.SSLError, OSError) as error:
        raise BadInput(f"the TLS certificate {config.tls_cert} cannot be used: {error}") from error


async def _reload_certificate(context: ssl.SSLContext, config: ServeConfig) -> None:
    """New connections get a renewed certificate within half a minute; a broken one is reported and not used."""
    seen = _stamp(config)
    while True:
        await asyncio.sleep(CERTIFICATE_CHECK_S)
        stamp = _stamp(config)
        if stamp == seen:
            continue
        try:
            # A pair that does not fit would leave the live context without a key: it is tried elsewhere first.
            _load_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), config)
            _load_certificate(context, config)
            log.info("the TLS certificate %s was loaded again", config.tls_cert)
        except (BadInput, NotFound) as error:
            log.error("%s", error)
        seen = stamp


def _stamp(config: ServeConfig) -> tuple[float, ...]:
    paths = [path for path in (config.tls_cert, config.tls_key) if path is not None]
    return tuple(path.stat().st_mtime for path in paths if path.exists())


async def first_administrator(gate: Gate) -> str | None:
    """At the first start: an account `admin` whose token goes to DATA/admin-token, 0600. Returns it, once.

    The file is there before the token counts; account and token are one transaction. After a crash between the two the
    next start writes a new file.
    """
    accounts = await gate.accounts.all()
    if any(account.role is Role.ADMIN for account in accounts):
        return None
    token = new_token("api")
    await asyncio.to_thread(_write_secret, gate.config.data / ADMIN_TOKEN_FILE, token)
    try:
        await gate.accounts.add_with_token(ADMIN, Role.ADMIN, token)
    except Conflict:
        log.warning("there is no administrator, and the name %r is taken: add one with 'account add'", ADMIN)
        return None
    return token


def _write_secret(path: Path, secret: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
