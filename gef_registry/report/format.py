"""What a format is: a name, a media type, and a function from a report to bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gef_registry.report.model import Report


@dataclass(frozen=True, slots=True)
class Layout:
    """How a reader's screen is: `width` columns, colours or none."""

    width: int = 100
    colour: bool = False


class Renderer(Protocol):
    def __call__(self, report: Report, layout: Layout | None = None) -> bytes:
        """The report as bytes: the same for the same report and layout."""
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """`for_people`: it may use the reader's screen; the others are the same everywhere."""

    name: str
    media_type: str
    render: Renderer
    for_people: bool = False
