"""What a Dockerfile will put into its image's config: labels, ENTRYPOINT, CMD, USER, ENV. Read without building.

Follows the stages within the file, substitutes ARG defaults and ENV, and calls unknown what only a build can
tell: arguments without default, variables of a base image, pattern substitutions. Unknown is never guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from gef_registry.errors import BadInput
from gef_registry.service.dockerfile_syntax import DockerfileNote, Instruction, read_script, split_words
from gef_registry.service.dockerfile_words import Absent, expand

MAX_STAGES = 100
MAX_NAMES = 2000

INSTRUCTIONS = frozenset(
    ("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER",
     "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR")
)  # fmt: skip
# Set by the builder when declared without a default; readable in FROM without being declared.
_PLATFORM_ARGUMENTS = frozenset(
    f"{side}{part}" for side in ("BUILD", "TARGET") for part in ("PLATFORM", "OS", "ARCH", "VARIANT")
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Located(Generic[T]):
    """A value and the line of the Dockerfile it stands on."""

    value: T
    line: int


@dataclass(frozen=True, slots=True)
class DockerfileImage:
    """The config of the final stage, as far as it can be told. A value of None is set, but unknown.

    `base` is the image below the final stage, as written when it is unknown; `from_line` is where that stage
    begins. `labels_complete` is False when the key of some label is unknown. `problems` make a build fail,
    `unknown` says what only a build can tell.
    """

    labels: Mapping[str, Located[str | None]]
    entrypoint: Located[tuple[str, ...]] | None
    cmd: Located[tuple[str, ...]] | None
    user: Located[str | None] | None
    env: Mapping[str, Located[str | None]]
    base: str
    from_line: int
    labels_complete: bool
    problems: tuple[DockerfileNote, ...]
    unknown: tuple[DockerfileNote, ...]

    @property
    def has_command(self) -> bool:
        """Whether the file itself sets an ENTRYPOINT or a CMD; what a base image brings is not visible."""
        return any(command is not None and command.value for command in (self.entrypoint, self.cmd))


@dataclass(slots=True)
class _Stage:
    """The state of one stage. `closed`: built on scratch, so a variable nobody set is certainly unset."""

    base: str
    line: int
    closed: bool
    labels: dict[str, Located[str | None]] = field(default_factory=dict)
    labels_complete: bool = True
    env: dict[str, Located[str | None]] = field(default_factory=dict)
    arguments: dict[str, str | None] = field(default_factory=dict)
    entrypoint: Located[tuple[str, ...]] | None = None
    cmd: Located[tuple[str, ...]] | None = None
    cmd_is_own: bool = False
    user: Located[str | None] | None = None
    shell: tuple[str, ...] = ("/bin/sh", "-c")

    def lookup(self, name: str) -> str | Absent:
        if name in self.env:
            value = self.env[name].value
        elif name in self.arguments:
            value = self.arguments[name]
        else:
            return Absent.UNSET if self.closed else Absent.UNKNOWN
        return Absent.UNKNOWN if value is None else value

    def child(self, line: int) -> _Stage:
        """The stage that `FROM this` begins with. BuildKit hands arguments down, other builders do not: unknown."""
        return replace(
            self,
            line=line,
            labels=dict(self.labels),
            env=dict(self.env),
            arguments=dict.fromkeys(self.arguments),
            cmd_is_own=False,
        )


def read_dockerfile(text: str) -> DockerfileImage:
    """Reads a Dockerfile of at most 1 MiB. Raises BadInput when it is none: no FROM, not text, beyond the bounds."""
    script = read_script(text)
    reader = _StageReader(script.escape)
    reader.problems.extend(script.problems)
    if script.frontend and not script.frontend.lower().removeprefix("docker.io/").startswith("docker/dockerfile"):
        reader.unknown.append(DockerfileNote(1, "another frontend than docker/dockerfile decides what this means"))
    for instruction in script.instructions:
        try:
            reader.apply(instruction)
        except BadInput as error:
            reader.problems.append(DockerfileNote(instruction.line, f"{instruction.keyword[:20]}: {error.message}"))
        reader.check_bounds()
    stage = reader.stage
    if stage is None:
        raise BadInput("this is no Dockerfile: it has no FROM instruction")
    if stage.base != "scratch":
        note = DockerfileNote(stage.line, f"labels and command that {stage.base[:80]} brings are not visible here")
        reader.unknown.append(note)
    return DockerfileImage(
        labels=stage.labels,
        entrypoint=stage.entrypoint,
        cmd=stage.cmd,
        user=stage.user,
        env=stage.env,
        base=stage.base,
        from_line=stage.line,
        labels_complete=stage.labels_complete,
        problems=tuple(reader.problems),
        unknown=tuple(reader.unknown),
    )


class _StageReader:
    """Applies one instruction after the other; `stage` is the one being built."""

    def __init__(self, escape: str) -> None:
        self.stage: _Stage | None = None
        self.problems: list[DockerfileNote] = []
        self.unknown: list[DockerfileNote] = []
        self._escape = escape
        self._global_arguments: dict[str, str | None] = {}
        self._named: dict[str, _Stage] = {}
        self._triggered: set[str] = set()
        self._stages = 0

    def apply(self, instruction: Instruction) -> None:
        """Raises BadInput where a build would fail."""
        if instruction.keyword not in INSTRUCTIONS:
            raise BadInput("unknown instruction")
        if not instruction.text:
            raise BadInput("the instruction needs an argument")
        if instruction.keyword == "FROM":
            self._begin_stage(instruction)
        elif self.stage is None:
            if instruction.keyword != "ARG":
                raise BadInput("only ARG may stand before the first FROM")
            self._declare_global(instruction)
        else:
            self._apply_to(self.stage, instruction)

    def check_bounds(self) -> None:
        stage = self.stage
        if self._stages > MAX_STAGES:
            raise BadInput(f"the Dockerfile has more than {MAX_STAGES} stages")
        if len(self._global_arguments) > MAX_NAMES or (
            stage and max(len(stage.labels), len(stage.env), len(stage.arguments)) > MAX_NAMES
        ):
            raise BadInput(f"the Dockerfile sets more than {MAX_NAMES} labels or variables")

    def _begin_stage(self, instruction: Instruction) -> None:
        words = [word for _, word in split_words(instruction.text, self._escape)]
        while words and words[0].startswith("--"):
            del words[0]
        if len(words) not in (1, 3) or (len(words) == 3 and words[1].lower() != "as"):
            raise BadInput("expected FROM IMAGE or FROM IMAGE AS NAME")
        base = expand(words[0], self._lookup_global, self._escape)
        self._stages += 1
        parent = self._named.get(base.lower()) if base else None
        if parent is not None:
            self.stage = parent.child(instruction.line)
            if (base or "").lower() in self._triggered:
                self.unknown.append(DockerfileNote(instruction.line, "ONBUILD instructions of this stage take effect"))
        elif base:
            self.stage = _Stage(base, instruction.line, closed=base == "scratch")
        else:
            self.stage = _Stage(words[0], instruction.line, closed=False)
            self.unknown.append(DockerfileNote(instruction.line, f"the base image {words[0][:80]} is not known yet"))
        if len(words) == 3:
            self._named[words[2].lower()] = self.stage

    def _apply_to(self, stage: _Stage, instruction: Instruction) -> None:
        match instruction.keyword:
            case "LABEL":
                self._set_labels(stage, instruction)
            case "ENV":
                pairs = self._pairs(instruction, stage)
                stage.env |= {name: value for name, value in pairs if name is not None}
            case "ARG":
                self._declare(stage, instruction)
            case "USER":
                value = expand(instruction.text, stage.lookup, self._escape)
                stage.user = Located(value, instruction.line)
            case "CMD":
                stage.cmd = Located(_command(instruction.text, stage.shell), instruction.line)
                stage.cmd_is_own = True
            case "ENTRYPOINT":
                stage.entrypoint = Located(_command(instruction.text, stage.shell), instruction.line)
                if not stage.cmd_is_own:
                    stage.cmd = None
            case "SHELL":
                shell = _json_words(instruction.text)
                if not shell:
                    raise BadInput("expected a JSON list of words")
                stage.shell = shell
            case "ONBUILD":
                self._triggered |= {name for name, named in self._named.items() if named is stage}

    def _set_labels(self, stage: _Stage, instruction: Instruction) -> None:
        for name, located in self._pairs(instruction, stage):
            if name is None:
                stage.labels_complete = False
                self.unknown.append(DockerfileNote(located.line, "the key of a label is not known before the build"))
                continue
            stage.labels[name] = located
            if located.value is None:
                self.unknown.append(
                    DockerfileNote(located.line, f"the value of {name[:80]} is not known before the build")
                )

    def _pairs(self, instruction: Instruction, stage: _Stage) -> list[tuple[str | None, Located[str | None]]]:
        """The `name=value` pairs of LABEL and ENV, or the one of the old form `name value`, all seeing what was before."""
        words = split_words(instruction.text, self._escape)
        if "=" not in words[0][1]:
            name, rest = _split_once(instruction.text)
            if not rest:
                raise BadInput("expected name=value")
            value = expand(rest, stage.lookup, self._escape)
            return [(expand(name, stage.lookup, self._escape), Located(value, instruction.line))]
        pairs: list[tuple[str | None, Located[str | None]]] = []
        for offset, word in words:
            name, equals, raw = word.partition("=")
            if not equals or not name:
                raise BadInput(f"expected name=value, got {word[:40]!r}")
            value = expand(raw, stage.lookup, self._escape)
            located = Located(value, instruction.line_at(offset))
            pairs.append((expand(name, stage.lookup, self._escape), located))
        return pairs

    def _declare_global(self, instruction: Instruction) -> None:
        for _, word in split_words(instruction.text, self._escape):
            name, equals, raw = word.partition("=")
            self._global_arguments[name] = expand(raw, self._lookup_global, self._escape) if equals else None

    def _declare(self, stage: _Stage, instruction: Instruction) -> None:
        for _, word in split_words(instruction.text, self._escape):
            name, equals, raw = word.partition("=")
            value = expand(raw, stage.lookup, self._escape) if equals else self._global_arguments.get(name)
            stage.arguments[name] = value

    def _lookup_global(self, name: str) -> str | Absent:
        if name in self._global_arguments:
            value = self._global_arguments[name]
            return Absent.UNKNOWN if value is None else value
        return Absent.UNKNOWN if name in _PLATFORM_ARGUMENTS else Absent.UNSET


def _split_once(text: str) -> tuple[str, str]:
    parts = text.split(maxsplit=1)
    return parts[0], parts[1] if len(parts) == 2 else ""


def _command(text: str, shell: tuple[str, ...]) -> tuple[str, ...]:
    """A command in JSON form, else in shell form; the builder does not substitute in either."""
    words = _json_words(text)
    return (*shell, text) if words is None else words


def _json_words(text: str) -> tuple[str, ...] | None:
    if not text.startswith("["):
        return None
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return tuple(words) if isinstance(words, list) and all(isinstance(word, str) for word in words) else None
