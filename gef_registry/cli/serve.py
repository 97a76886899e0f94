"""`gef-registry serve`: the gate, in the foreground, until SIGTERM or Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gef_registry.errors import BadInput

if TYPE_CHECKING:
    from gef_registry.processes.serve import ServeConfig, Started
    from gef_registry.settings import Settings

DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="The gate's data directory.", show_default=False)
]


def register(app: typer.Typer) -> None:
    @app.command()
    def serve(
        data: DataOption = None,
        listen: Annotated[
            str | None, typer.Option("--listen", metavar="HOST:PORT", help="Where to answer; port 0 takes a free one.")
        ] = None,
        policy: Annotated[
            str | None, typer.Option("--policy", metavar="NAME|FILE", help="default, strict, development or a file.")
        ] = None,
        public_url: Annotated[
            str | None,
            typer.Option("--public-url", metavar="URL", help="How others reach the gate; fixed at the first start."),
        ] = None,
        tls_cert: Annotated[Path | None, typer.Option("--tls-cert", metavar="FILE")] = None,
        tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE")] = None,
        behind_proxy: Annotated[
            bool | None, typer.Option("--behind-proxy", help="A proxy in front does TLS.", show_default=False)
        ] = None,
        workers: Annotated[int | None, typer.Option("--workers", min=1, help="Images judged at a time.")] = None,
        log_level: Annotated[str, typer.Option("--log-level", metavar="LEVEL")] = "info",
    ) -> None:
        """Run the gate: registry, tokens, API, log, pages and workers in one process.

        On a loopback address nothing else is needed. Elsewhere it wants a named policy, and TLS or a proxy that does it.
        """
        import asyncio

        from gef_registry.processes.serve import serve as run
        from gef_registry.settings import load_settings

        flags = {
            "server.data": data,
            "server.listen": listen,
            "server.policy": policy,
            "server.public_url": public_url,
            "server.tls_cert": tls_cert,
            "server.tls_key": tls_key,
            "server.behind_proxy": behind_proxy,
            "judging.workers": workers,
        }
        config = serve_config(load_settings(flags=flags))
        _log_to_stderr(log_level)
        asyncio.run(run(config, started=_announce(config)))


def serve_config(settings: Settings) -> ServeConfig:
    """Settings as the process wants them. Raises BadInput for combinations that would serve strangers unsafely."""
    import os
    from dataclasses import replace

    from gef_registry.facts.limits import Limits
    from gef_registry.processes.serve import ServeConfig, check_listening
    from gef_registry.wiring.gate import GateConfig
    from gef_registry.wiring.intake import HookSource, IntakeConfig
    from gef_registry.wiring.keyring import passphrase_from
    from gef_registry.wiring.policies import load_named_policy

    server, judging, hooks = settings.server, settings.judging, settings.hooks
    if server.data.exists() and not server.data.is_dir():
        raise BadInput(f"--data {server.data} is a file, not a directory")
    host, port = split_address(server.listen)
    if (server.tls_cert is None) != (server.tls_key is None):
        raise BadInput("TLS needs both --tls-cert and --tls-key")
    check_listening(
        host,
        tls=server.tls_cert is not None,
        behind_proxy=server.behind_proxy,
        policy_named=server.policy is not None,
        public_url=server.public_url,
    )
    sources = {}
    if hooks.distribution_registry and hooks.distribution_secret:
        sources["distribution"] = HookSource(hooks.distribution_registry, hooks.distribution_secret)
    gate = GateConfig(
        data=server.data.absolute(),
        policy=load_named_policy(server.policy or "development"),
        public_url=server.public_url,
        passphrase=passphrase_from(os.environ),
        workers=judging.workers,
        queue_limit=judging.queue_per_account,
        push_wait_s=judging.answer_within_s,
        limits=replace(Limits(), wall_clock_s=judging.image_timeout_s),
        intake=IntakeConfig(
            registries=frozenset(settings.sources.registries),
            private=frozenset(settings.sources.private),
            plain_http=frozenset(settings.sources.plain_http),
            hooks=sources,
        ),
    )
    return ServeConfig(
        gate, host, port, server.tls_cert, server.tls_key, server.behind_proxy, server.policy is not None
    )


def split_address(text: str) -> tuple[str, int]:
    """`HOST:PORT` or `[V6]:PORT`. Raises BadInput."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535 or not host:
        raise BadInput(f"--listen {text[:200]!r} is not HOST:PORT", hint="for example 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def _announce(config: ServeConfig) -> Started:
    import sys

    from gef_registry.policy.model import ScannerRequirement

    def fingerprint(data: Path) -> str:
        from gef_registry.wiring.keyring import load_keyset

        return load_keyset(data / "keys")[1].root.fingerprint

    def started(address: str, token: str | None) -> None:
        policy = config.gate.policy
        named = "" if config.policy_named else ", as none is named: a trial"
        sys.stderr.write(f"policy: {policy.name} ({policy.digest}){named}\n")
        if policy.scanner is ScannerRequirement.UNDECIDED:
            sys.stderr.write("this policy insists on a scanner and none is configured: nothing can be admitted\n")
        if token is not None:
            where = config.gate.data / "admin-token"
            sys.stderr.write(f"first start: the administrator's API token is in {where}\n")
            sys.stderr.write(f"for hosts: the root key's fingerprint is {fingerprint(config.gate.data)}\n")
            if sys.stderr.isatty():
                sys.stderr.write(f"administrator's API token: {token}\n")
        sys.stdout.write(f"gef-registry is ready at {address}\n")
        sys.stdout.flush()

    return started


def _log_to_stderr(level: str) -> None:
    import logging

    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise BadInput(f"--log-level {level[:40]!r} is none of debug, info, warning, error")
    logging.basicConfig(level=number, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
