"""`gef-registry demo`: shows the whole chain, for people who want to see it before they read about it."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    @app.command()
    def demo() -> None:
        """Push, judge, admit, verify and tamper, in a temporary directory; nothing is left behind."""
        import asyncio
        import time

        from rich.console import Console
        from rich.text import Text

        from gef_registry.processes.demo import demonstrate

        console = Console(highlight=False, soft_wrap=True)
        styles = {"step": "bold", "command": "cyan", "answer": "", "good": "green", "bad": "yellow"}
        marks = {"step": "\n", "command": "  $ ", "answer": "    ", "good": "    ✓ ", "bad": "    ✗ "}
        started = time.monotonic()
        steps = iter(range(1, 100))

        def say(kind: str, text: str) -> None:
            number = f"{next(steps)}. " if kind == "step" else ""
            console.print(Text(f"{marks[kind]}{number}{text}", style=styles[kind]))

        asyncio.run(demonstrate(say))
        console.print(Text(f"\nEverything went as it must ({time.monotonic() - started:.0f} s).", style="bold green"))
