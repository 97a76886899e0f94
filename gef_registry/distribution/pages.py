"""Pages of a list (OCI distribution 1.1, "Listing Tags"): `n` at most, after `last`, and a `Link` to what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from gef_registry.distribution.codes import Code, Refusal


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the names, in order, and the `Link` header's value when more follow."""

    names: list[str]
    link: str | None


def page(names: Sequence[str], query: Mapping[str, str], *, path: str, max_entries: int) -> Page:
    """The page that `query` (`n`, `last`) asks for of names sorted bytewise. Raises Refusal when `n` is no number."""
    count = max_entries
    if "n" in query:
        if not (query["n"].isascii() and query["n"].isdecimal() and len(query["n"]) <= 18):
            raise Refusal(Code.PAGINATION_NUMBER_INVALID, f"n is {query['n'][:40]!r}, expected a number from 0")
        count = min(int(query["n"]), max_entries)
    last = query.get("last", "")
    following = [name for name in names if name > last] if last else list(names)
    chosen = following[:count]
    if count == 0 or len(following) <= count:
        return Page(chosen, None)
    rest = {key: value for key, value in query.items() if key not in ("n", "last")}
    return Page(chosen, f'<{path}?{urlencode({"n": count, "last": chosen[-1], **rest})}>; rel="next"')
