"""Templates: autoescaped, and every value stripped of characters that could mislead the eye before it is written."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gef_registry import __version__
from gef_registry.web.ports import Origin
from gef_registry.web.text import is_web_link, plain

_HERE = Path(__file__).resolve().parent


class Pages:
    """Renders templates of one gate; holds the style sheet, whose address changes with its content."""

    def __init__(self, origin: Origin) -> None:
        self.style = (_HERE / "static" / "style.css").read_bytes()
        self._environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_finalize,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {"moment": _moment, "weblink": _weblink, "count": _count, "size": _size}
        self._environment.globals |= {
            "origin": origin,
            "program_version": __version__,
            "style_url": f"/static/style.css?{hashlib.sha256(self.style).hexdigest()[:12]}",
        }

    def page(self, template: str, *, status: int = 200, private: bool = False, **values: Any) -> web.Response:
        text = self._environment.get_template(template).render(values)
        headers = {"Cache-Control": "private, no-store" if private else "no-cache", "Vary": "Authorization"}
        return web.Response(status=status, text=text, content_type="text/html", headers=headers)

    def problem(self, status: int, message: str, hint: str | None) -> web.Response:
        """The page of an error; `middlewares.ProblemPage`."""
        titles = {401: "Who are you?", 403: "Not allowed", 404: "Not found", 429: "Too many attempts"}
        title = titles.get(status, "That did not work")
        return self.page("problem.html", status=status, private=True, title=title, message=message, hint=hint)


def _finalize(value: Any) -> Any:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _moment(value: datetime) -> Markup:
    at = value.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        at.strftime("%Y-%m-%dT%H:%M:%SZ"), at.strftime("%-d %B %Y, %H:%M UTC")
    )


def _weblink(value: object) -> str | None:
    """The address when it may stand in an `href`, else None."""
    return value if isinstance(value, str) and is_web_link(value) else None


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}".replace(",", "\u2009")


def _size(value: float) -> str:
    units = ("bytes", "KiB", "MiB", "GiB", "TiB")
    for unit in units:
        if value < 1024 or unit == units[-1]:
            return f"{value:.4g} {unit}"
        value /= 1024
    raise AssertionError("the last unit takes everything")
