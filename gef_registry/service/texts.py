"""A label as the contract reads it, and its plain texts: names, descriptions and web addresses."""

from __future__ import annotations

from dataclasses import dataclass

from gef_registry.service import catalogue
from gef_registry.service.grammar import is_web_address
from gef_registry.service.model import Problems, quoted

MAX_NAME = 120
MAX_DESCRIPTION = 2000


@dataclass(frozen=True, slots=True)
class Label:
    """One label. `value` is None when it is there but cannot be used, or is not known yet."""

    key: str
    value: str | None


def read_text(label: Label, maximum: int, problems: Problems) -> str | None:
    """A text of 1 to `maximum` characters, spaces around it not counted and not kept."""
    if label.value is None:
        return None
    text = label.value.strip()
    if not text:
        problems.add(catalogue.TEXT_LENGTH, label.key, f"the text is empty; expected 1 to {maximum} characters")
        return None
    if len(text) > maximum:
        message = f"the text has {len(text)} characters; expected 1 to {maximum}"
        problems.add(catalogue.TEXT_LENGTH, label.key, message)
        return None
    return text


def read_link(label: Label | None, problems: Problems) -> str | None:
    """An http or https address, else a problem of severity low and no link."""
    if label is None or label.value is None:
        return None
    if is_web_address(label.value):
        return label.value
    message = f"{quoted(label.value)} is not an http or https address, so it is not shown"
    problems.add(catalogue.LINK_SYNTAX, label.key, message)
    return None
