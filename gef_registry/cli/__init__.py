"""The command line: one file per noun, registered here by an explicit list.

A command's file has `register(app)`, which adds commands to the application and imports nothing heavy; what a command
needs it imports when it runs, so that `--help` answers at once. Exit codes are the same everywhere: 0 admit or done,
1 denied or refused, 2 wrong usage, 3 cannot decide, 4 needs review. Errors become exit codes in `errors.exit_code`
of their family, in `main`, and nowhere else.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

# In the order `--help` shows them. A new noun is a file and a line here.
COMMANDS: tuple[str, ...] = (
    "check",
    "checks",
    "labels",
    "policy",
    "verify",
    "host",
    "log",
    "keys",
    "serve",
    "account",
    "submit",
    "status",
    "review",
    "revoke",
    "backup",
    "restore",
    "doctor",
    "demo",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and ends the process with its exit code."""
    from gef_registry.cli.failures import ending

    with ending():
        application()(args=None if arguments is None else list(arguments), prog_name="gef-registry")


def application() -> typer.Typer:
    """The application with all its commands."""
    import typer

    from gef_registry import __version__

    app = typer.Typer(
        name="gef-registry",
        help="The gate of a trusted repository of scientific container images: checks, reviews, signs and logs them.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="Exit codes: 0 admit or done · 1 denied or refused · 2 wrong usage · 3 cannot decide · 4 needs review",
    )

    def show_version(wanted: bool) -> None:
        if wanted:
            sys.stdout.write(f"gef-registry {__version__}\n")
            raise typer.Exit

    @app.callback()
    def common(
        version: bool = typer.Option(
            False, "--version", callback=show_version, is_eager=True, help="Show the version."
        ),
    ) -> None:
        pass

    for name in COMMANDS:
        importlib.import_module(f"gef_registry.cli.{name}").register(app)
    return app
