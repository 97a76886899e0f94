"""The `WWW-Authenticate` header (RFC 9110, 11.6.1): several challenges, each with a token68 or parameters. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gef_registry.errors import BadInput

_MAX_LENGTH = 16 << 10
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SCHEME = re.compile(rf"[ \t,]*({_TOKEN})(?:[ \t]+|(?=,)|$)")
_PARAMETER = re.compile(rf'[ \t,]*({_TOKEN})[ \t]*=[ \t]*(?:({_TOKEN})|"((?:[^"\\]|\\.)*+)")[ \t]*(?=,|$)', re.DOTALL)
_TOKEN68 = re.compile(r"([A-Za-z0-9\-._~+/]+=*)[ \t]*(?=,|$)")
_END = re.compile(r"[ \t,]*$")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way the server accepts. `scheme` and parameter names are lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict, hash=False)
    token68: str | None = None


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Every challenge of one or more header values, in order. Raises BadInput for what the grammar does not allow."""
    return tuple(challenge for header in headers for challenge in _challenges(header))


def _challenges(header: str) -> list[Challenge]:
    if len(header) > _MAX_LENGTH:
        raise BadInput(f"WWW-Authenticate: {len(header)} characters, at most {_MAX_LENGTH} are read")
    found: list[Challenge] = []
    position = 0
    while not _END.match(header, position):
        scheme = _SCHEME.match(header, position)
        if scheme is None:
            raise BadInput(f"WWW-Authenticate: a scheme was expected at character {position}")
        position = scheme.end()
        parameters: dict[str, str] = {}
        while (parameter := _PARAMETER.match(header, position)) is not None:
            name, token, quoted = parameter.groups()
            if name.lower() in parameters:
                raise BadInput(f"WWW-Authenticate: the parameter {name[:40]!r} occurs twice")
            parameters[name.lower()] = token if token is not None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
            position = parameter.end()
        token68 = None
        if (
            not parameters
            and (blob := _TOKEN68.match(header, position)) is not None
            and scheme[0].endswith((" ", "\t"))
        ):
            token68, position = blob[1], blob.end()
        found.append(Challenge(scheme[1].lower(), parameters, token68))
    return found
