"""Reading the port labels `input.N.…` and `output.N.…`: numbers, paths, types, file names."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from gef_registry.service import catalogue, grammar
from gef_registry.service.keys import UNUSED_OUTPUT_ATTRIBUTES, canonical_number
from gef_registry.service.model import PREFIX, InputPort, InputType, OutputPort, Problems, quoted
from gef_registry.service.texts import MAX_DESCRIPTION, MAX_NAME, Label, read_text

Direction = Literal["input", "output"]


@dataclass(frozen=True, slots=True)
class PortLabels:
    """The labels of one port. `number` is None when its spelling means no port from 1 to 99."""

    direction: Direction
    spelling: str
    number: int | None
    attributes: dict[str, Label] = field(default_factory=dict)

    def key(self, attribute: str) -> str:
        """The key under which an attribute of this port belongs."""
        return f"{PREFIX}{self.direction}.{self.spelling if self.number is None else self.number}.{attribute}"

    def value(self, attribute: str) -> str | None:
        label = self.attributes.get(attribute)
        return label.value if label else None


def group_ports(labels: Mapping[tuple[str, ...], Label], problems: Problems) -> list[PortLabels]:
    """The ports by direction and number. Wrong spellings are problems; those of one number are one port."""
    spelled: dict[tuple[Direction, str], dict[str, Label]] = {}
    for components, label in labels.items():
        if components[0] in ("input", "output"):
            direction: Direction = "input" if components[0] == "input" else "output"
            spelled.setdefault((direction, components[1]), {})[components[2]] = label
    ports: dict[tuple[Direction, int | str], PortLabels] = {}
    plain_first = sorted(spelled, key=lambda entry: (not grammar.is_port_number(entry[1]), entry))
    for direction, spelling in plain_first:
        attributes = spelled[direction, spelling]
        number = canonical_number(spelling)
        known = ports.get((direction, number or spelling))
        _check_spelling(direction, spelling, number, attributes, known, problems)
        port = known or PortLabels(direction, spelling, number)
        ports[direction, number or spelling] = port
        for attribute, label in attributes.items():
            port.attributes.setdefault(attribute, label)
    return sorted(ports.values(), key=lambda port: (port.direction, port.number or 0, port.spelling))


def _check_spelling(
    direction: Direction,
    spelling: str,
    number: int | None,
    attributes: Mapping[str, Label],
    known: PortLabels | None,
    problems: Problems,
) -> None:
    """A spelling has to be plain, and the only one of its port; one finding for each spelling, not each label."""
    attribute = min(attributes)
    label = attributes[attribute]
    meant = f"{PREFIX}{direction}.{number or 1}.{attribute}"
    if not grammar.is_port_number(spelling):
        message = f"{quoted(spelling)} is not a number from 1 to 99 in plain decimal"
        problems.add(catalogue.PORT_NUMBER, label.key, message, meant)
    if known:
        message = f"{direction} {number} is spelled {quoted(known.spelling)} and {quoted(spelling)}"
        problems.add(catalogue.PORT_SPELLED_TWICE, label.key, message, meant)


def read_inputs(ports: Iterable[PortLabels], problems: Problems) -> tuple[InputPort, ...]:
    """The valid input ports."""
    found = [_read_input(port, problems) for port in ports if port.direction == "input"]
    return tuple(port for port in found if port is not None)


def read_outputs(ports: Iterable[PortLabels], problems: Problems) -> tuple[OutputPort, ...]:
    """The valid output ports. No output at all is a problem; a wrongly numbered one is an output."""
    outputs = [port for port in ports if port.direction == "output"]
    if not outputs:
        message = "no output is declared, so no result would be kept"
        problems.add(catalogue.NO_OUTPUT, f"{PREFIX}output.1.path", message)
    found = [_read_output(port, problems) for port in outputs]
    return tuple(port for port in found if port is not None)


def _read_input(port: PortLabels, problems: Problems) -> InputPort | None:
    name, path = _read_name(port, problems), _read_path(port, problems)
    type_ = _read_type(port, problems)
    filename = _read_filename(port, type_, problems)
    optional = _read_optional(port, problems)
    mediatype, description = _read_mediatype(port, problems), _read_description(port, problems)
    if port.number is None or name is None or path is None or type_ is None:
        return None
    if type_ == "string" and filename is None:
        return None
    return InputPort(port.number, name, path, type_, filename, optional, mediatype, description)


def _read_output(port: PortLabels, problems: Problems) -> OutputPort | None:
    name, path = _read_name(port, problems), _read_path(port, problems)
    mediatype, description = _read_mediatype(port, problems), _read_description(port, problems)
    for attribute in UNUSED_OUTPUT_ATTRIBUTES:
        if label := port.attributes.get(attribute):
            problems.add(catalogue.OUTPUT_ATTRIBUTE_UNUSED, label.key, f"`{attribute}` of an output has no effect")
    if port.number is None or name is None or path is None:
        return None
    return OutputPort(port.number, name, path, mediatype, description)


def _read_name(port: PortLabels, problems: Problems) -> str | None:
    label = port.attributes.get("name")
    if label is None:
        message = f"{port.direction} {quoted(port.spelling)} has no name"
        problems.add(catalogue.PORT_WITHOUT_NAME, port.key("name"), message)
        return None
    return read_text(label, MAX_NAME, problems)


def _read_description(port: PortLabels, problems: Problems) -> str | None:
    label = port.attributes.get("description")
    return read_text(label, MAX_DESCRIPTION, problems) if label else None


def _read_path(port: PortLabels, problems: Problems) -> str | None:
    label = port.attributes.get("path")
    if label is None:
        message = f"{port.direction} {quoted(port.spelling)} has no path"
        problems.add(catalogue.PORT_WITHOUT_PATH, port.key("path"), message, port.key("path"))
        return None
    path = label.value
    if path is None:
        return None
    if defect := grammar.path_defect(path):
        problems.add(
            catalogue.PATH_SYNTAX, label.key, f"the path {quoted(path)} {defect}", grammar.normalised_path(path)
        )
        return None
    if directory := grammar.system_directory(path):
        message = f"the path {quoted(path)} is {'' if path == directory else 'inside '}the system directory {directory}"
        problems.add(catalogue.PATH_SYSTEM_DIRECTORY, label.key, message, f"/{port.direction}")
        return None
    if directory := grammar.hidden_system_directory(path):
        message = f"a mount on {quoted(path)} hides {directory}"
        problems.add(catalogue.PATH_HIDES_SYSTEM, label.key, message, f"/{port.direction}")
    return path


def _read_type(port: PortLabels, problems: Problems) -> InputType | None:
    label = port.attributes.get("type")
    if label is None:
        message = f"input {quoted(port.spelling)} has no type"
        problems.add(catalogue.TYPE_MISSING, port.key("type"), message, "string" if _has_filename(port) else "url")
        return None
    if label.value is None:
        return None
    match label.value.lower():
        case "url":
            return "url"
        case "string":
            return "string"
    message = f"the type {quoted(label.value)} is neither url nor string"
    problems.add(catalogue.TYPE_UNKNOWN, label.key, message, "string" if _has_filename(port) else "url")
    return None


def _has_filename(port: PortLabels) -> bool:
    return "filename" in port.attributes


def _read_filename(port: PortLabels, type_: InputType | None, problems: Problems) -> str | None:
    label = port.attributes.get("filename")
    if label is None:
        if type_ == "string":
            message = f"input {quoted(port.spelling)} is a string and has no file name"
            problems.add(catalogue.FILENAME_MISSING, port.key("filename"), message, f"input{port.number or 1}.txt")
        return None
    if label.value is not None and (defect := grammar.filename_defect(label.value)):
        message = f"the file name {quoted(label.value)} {defect}"
        problems.add(catalogue.FILENAME_SYNTAX, label.key, message, grammar.plain_filename(label.value))
        return None
    if type_ == "url":
        problems.add(catalogue.FILENAME_UNUSED, label.key, "an input of type url keeps the names of its data")
        return None
    return label.value


def _read_optional(port: PortLabels, problems: Problems) -> bool:
    label = port.attributes.get("optional")
    if label is None or label.value is None:
        return False
    if label.value in ("true", "false"):
        return label.value == "true"
    meant = {"yes": "true", "1": "true", "no": "false", "0": "false"}.get(label.value.lower(), label.value.lower())
    message = f"{quoted(label.value)} is neither true nor false"
    problems.add(catalogue.OPTIONAL_VALUE, label.key, message, meant if meant in ("true", "false") else None)
    return False


def _read_mediatype(port: PortLabels, problems: Problems) -> str | None:
    label = port.attributes.get("mediatype")
    if label is None or label.value is None:
        return None
    if grammar.is_mediatype(label.value):
        return label.value
    bare = label.value.split(";")[0].strip()
    suggestion = bare if grammar.is_mediatype(bare) else None
    problems.add(catalogue.MEDIATYPE_SYNTAX, label.key, f"{quoted(label.value)} is not a media type", suggestion)
    return None


def check_overlaps(ports: Iterable[PortLabels], problems: Problems) -> None:
    """Valid paths that are equal to an earlier one, or inside another: one finding for each such port."""
    owners: dict[str, list[PortLabels]] = {}
    for port in ports:
        path = port.value("path")
        if path is not None and grammar.path_defect(path) is None:
            owners.setdefault(path, []).append(port)
    for path, sharing in owners.items():
        first = sharing[0]
        for port in sharing[1:]:
            message = f"{_title(port)} has the path {quoted(path)} of {_title(first)}"
            problems.add(catalogue.PATH_OVERLAP, port.attributes["path"].key, message)
        if outer := _nearest_outer(path, owners):
            message = f"{_title(first)} ({quoted(path)}) lies inside {_title(owners[outer][0])} ({quoted(outer)})"
            problems.add(catalogue.PATH_OVERLAP, first.attributes["path"].key, message)


def _nearest_outer(path: str, paths: Container[str]) -> str | None:
    """The nearest directory above `path` that is among `paths`; one is enough, so findings stay linear in ports."""
    ancestor = path.rpartition("/")[0]
    while ancestor and ancestor not in paths:
        ancestor = ancestor.rpartition("/")[0]
    return ancestor or None


def _title(port: PortLabels) -> str:
    return f"{port.direction} {quoted(port.spelling)}"
