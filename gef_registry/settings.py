"""What an operator may set, merged once into frozen values: defaults, then `gef-registry.toml`, then the environment
(`GEF_REGISTRY_SECTION__KEY`), then flags. Nothing needs to be set.

Units are in the names. Names nobody knows are refused, with a suggestion, whether in the file or in the environment:
a mistyped setting must not silently leave its default in force. `docs/settings.md` is `python -m gef_registry.settings`.
"""

# ruff: noqa: RUF009 -- `_setting` is `dataclasses.field` with what a setting needs to be documented

from __future__ import annotations

import dataclasses
import difflib
import os
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gef_registry.errors import BadInput, Unavailable

FILE_NAME = "gef-registry.toml"
FILE_VARIABLE = "GEF_REGISTRY_CONFIG"
PREFIX = "GEF_REGISTRY_"
MAX_FILE_BYTES = 256 << 10


def _setting(
    default: Any, says: str, *, secret: bool = False, least: float | None = None, most: float | None = None
) -> Any:
    return field(
        default=default, repr=not secret, metadata={"says": says, "secret": secret, "least": least, "most": most}
    )


@dataclass(frozen=True, slots=True)
class ServerSettings:
    listen: str = _setting("127.0.0.1:8080", "Address and port `serve` answers on.")
    public_url: str | None = _setting(None, "The address others know the gate by; fixed at the first start.")
    data: Path = _setting(Path("gef-registry-data"), "Directory of keys, records, images and log.")
    tls_cert: Path | None = _setting(None, "Certificate chain (PEM); read again when it changes.")
    tls_key: Path | None = _setting(None, "Private key of the certificate (PEM).")
    behind_proxy: bool = _setting(False, "A proxy on this machine speaks TLS for the gate.")
    policy: str | None = _setting(None, "Name or file of the policy; needed unless `listen` is a loopback address.")


@dataclass(frozen=True, slots=True)
class JudgingSettings:
    workers: int = _setting(2, "How many images are judged at a time.", least=1, most=256)
    queue_per_account: int = _setting(20, "Submissions of one account that may wait; then 429.", least=1, most=10_000)
    answer_within_s: float = _setting(240.0, "How long a push waits for its verdict.", least=1, most=3600)
    image_timeout_s: float = _setting(1800.0, "How long reading one image may take.", least=10, most=86_400)


@dataclass(frozen=True, slots=True)
class SourcesSettings:
    registries: tuple[str, ...] = _setting((), "Hosts `submit` may fetch images from; empty: none.")
    plain_http: tuple[str, ...] = _setting((), "Those of them that are spoken to without TLS.")
    private: tuple[str, ...] = _setting((), "Those of them that may have private or loopback addresses.")


@dataclass(frozen=True, slots=True)
class HooksSettings:
    distribution_registry: str | None = _setting(
        None, "The registry (host:port) whose events `/hooks/distribution` takes."
    )
    distribution_secret: str | None = _setting(None, "What it sends as `Authorization: Bearer …`.", secret=True)


@dataclass(frozen=True, slots=True)
class CacheSettings:
    directory: Path | None = _setting(
        None, "Facts about layers already read; default: `gef-registry` in the user's cache."
    )
    max_bytes: int = _setting(1 << 30, "How large it may grow.", least=0)


@dataclass(frozen=True, slots=True)
class ClientSettings:
    gate: str | None = _setting(None, "Address of the gate that `submit`, `status`, `review` and `verify` talk to.")
    token: str | None = _setting(None, "API token for it.", secret=True)
    policy: str = _setting("default", "Policy `check` uses unless told otherwise.")
    timeout_s: float = _setting(60.0, "How long one request may take.", least=1, most=3600)


@dataclass(frozen=True, slots=True)
class Settings:
    """All sections. `origins` says where a value that is no default comes from, by `section.key`."""

    server: ServerSettings = field(default_factory=ServerSettings)
    judging: JudgingSettings = field(default_factory=JudgingSettings)
    sources: SourcesSettings = field(default_factory=SourcesSettings)
    hooks: HooksSettings = field(default_factory=HooksSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    client: ClientSettings = field(default_factory=ClientSettings)
    origins: Mapping[str, str] = field(default_factory=dict, hash=False)


SECTIONS: dict[str, type] = {
    "server": ServerSettings,
    "judging": JudgingSettings,
    "sources": SourcesSettings,
    "hooks": HooksSettings,
    "cache": CacheSettings,
    "client": ClientSettings,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting as `doctor` shows it; the value of a secret is not in it."""

    name: str
    value: str
    origin: str
    says: str


def load_settings(
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    directory: Path | None = None,
) -> Settings:
    """Merges file, environment and `flags` (`{"server.listen": value}`, None means not given). Raises BadInput, Unavailable.

    The file is the one `GEF_REGISTRY_CONFIG` names, else `gef-registry.toml` in `directory` (the current one) if there.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    layers = (*_from_file(environ, directory or Path.cwd()), *_from_environment(environ))
    for name, value, origin in layers:
        values[name], origins[name] = _convert(name, value, origin), origin
    for name, value in (flags or {}).items():
        if value is not None:
            values[name], origins[name] = _convert(name, value, "flag"), "flag"
    made: dict[str, Any] = {
        section: kind(**{n.partition(".")[2]: v for n, v in values.items() if n.partition(".")[0] == section})
        for section, kind in SECTIONS.items()
    }
    return Settings(**made, origins=origins)


def entries(settings: Settings) -> list[Entry]:
    """Every setting, its value and where it comes from; secrets are masked."""
    return [
        Entry(name, _shown(getattr(getattr(settings, name.partition(".")[0]), spec.name), spec),
              settings.origins.get(name, "default"), spec.metadata["says"])
        for name, spec in _specs()
    ]  # fmt: skip


def markdown() -> str:
    """`docs/settings.md`."""
    lines = [
        "# Settings",
        "",
        "No setting is needed. Later ones win: the default, `gef-registry.toml` (in the current directory, or the file that",
        "`GEF_REGISTRY_CONFIG` names), the environment, a flag. `gef-registry doctor` shows what is in force and from where.",
        "",
        "This page is made by `python -m gef_registry.settings`.",
    ]
    for section, kind in SECTIONS.items():
        lines += ["", f"## [{section}]", "", "| key | default | environment | meaning |", "|---|---|---|---|"]
        for spec in dataclasses.fields(kind):
            default = "" if spec.default in (None, ()) else f"`{_shown(spec.default, spec)}`"
            lines.append(f"| `{spec.name}` | {default} | `{_variable(section, spec.name)}` | {spec.metadata['says']} |")
    return "\n".join(lines) + "\n"


def _specs() -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    for section, kind in SECTIONS.items():
        for spec in dataclasses.fields(kind):
            yield f"{section}.{spec.name}", spec


def _variable(section: str, key: str) -> str:
    return f"{PREFIX}{section.upper()}__{key.upper()}"


def _shown(value: Any, spec: dataclasses.Field[Any]) -> str:
    if value is None:
        return "—"
    if spec.metadata["secret"]:
        return "********"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(value) or "—" if isinstance(value, tuple) else str(value)


def _from_file(environ: Mapping[str, str], directory: Path) -> Iterator[tuple[str, Any, str]]:
    named = environ.get(FILE_VARIABLE)
    path = Path(named) if named else directory / FILE_NAME
    if not named and not path.is_file():
        return
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise Unavailable(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > MAX_FILE_BYTES:
        raise BadInput(f"{path}: larger than {MAX_FILE_BYTES} bytes")
    try:
        document = tomllib.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadInput(f"{path}: not TOML: {error}") from error
    for section, content in document.items():
        if section not in SECTIONS:
            raise BadInput(f"{path}: unknown section [{section[:80]}]", hint=_meant(section, SECTIONS))
        if not isinstance(content, dict):
            raise BadInput(f"{path}: {section} is a section: write [{section}]")
        for key, value in content.items():
            yield f"{section}.{key}", value, str(path)


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Only names with two underscores in the middle are settings; other GEF_REGISTRY_ names belong to other things."""
    for variable, value in sorted(environ.items()):
        if variable.startswith(PREFIX) and "__" in variable.removeprefix(PREFIX):
            section, _, key = variable.removeprefix(PREFIX).lower().partition("__")
            yield f"{section}.{key}", value, variable


def _convert(name: str, value: Any, origin: str) -> Any:
    """The value in the type of its setting. Raises BadInput, without the value of a secret."""
    specs = dict(_specs())
    spec = specs.get(name)
    if spec is None:
        raise BadInput(f"{origin}: there is no setting {name[:100]!r}", hint=_meant(name, specs))
    section = SECTIONS[name.partition(".")[0]]
    wanted = typing.get_type_hints(section)[spec.name]
    try:
        converted = _as(wanted, value)
    except ValueError as error:
        got = "a secret" if spec.metadata["secret"] else repr(value)[:100]
        raise BadInput(f"{origin}: {name} must be {error}, got {got}") from error
    least, most = spec.metadata["least"], spec.metadata["most"]
    if (least is not None and converted < least) or (most is not None and converted > most):
        bounds = f"at least {least}" + (f" and at most {most}" if most is not None else "")
        raise BadInput(f"{origin}: {name} is {converted}, must be {bounds}")
    return converted


def _as(wanted: Any, value: Any) -> Any:
    """Raises ValueError whose text completes "must be …"."""
    if isinstance(wanted, types.UnionType):
        return None if value in (None, "") else _as(next(t for t in wanted.__args__ if t is not types.NoneType), value)
    if typing.get_origin(wanted) is tuple:
        items = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
            raise ValueError("a list of strings")
        return tuple(item for item in items if item)
    if wanted is bool:
        return _as_bool(value)
    if wanted in (int, float):
        return _as_number(wanted, value)
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("a text that is not empty")
    return wanted(value)


def _as_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if not isinstance(value, str) or value.lower() not in known:
        raise ValueError("true or false")
    return known[value.lower()]


def _as_number(wanted: type[int] | type[float], value: Any) -> int | float:
    says = "a whole number" if wanted is int else "a number"
    if (
        isinstance(value, bool)
        or not isinstance(value, str | int | float)
        or (wanted is int and isinstance(value, float))
    ):
        raise ValueError(says)
    try:
        number = wanted(value)
    except ValueError:
        raise ValueError(says) from None
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError(says)
    return number


def _meant(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())
