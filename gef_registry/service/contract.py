"""The label contract v1: labels of an image in, a service or every reason why not out.

Never raises on labels, however hostile, and never stops at the first problem. The result does not depend on
the order of the labels. A misspelled label is read as its author meant it while problems are collected, but a
service is described only from labels that are written exactly.
"""

from __future__ import annotations

from collections.abc import Mapping

from gef_registry.service import catalogue, declarations
from gef_registry.service.keys import Known, belongs_to_contract, recognise
from gef_registry.service.model import (
    OCI_AUTHORS,
    OCI_DOCUMENTATION,
    OCI_LABELS,
    OCI_LICENCE,
    OCI_SOURCE,
    PREFIX,
    InputPort,
    OutputPort,
    Parsed,
    Problems,
    Service,
    has_forbidden,
    printable,
    quoted,
)
from gef_registry.service.ports import check_overlaps, group_ports, read_inputs, read_outputs
from gef_registry.service.texts import MAX_DESCRIPTION, MAX_NAME, Label, read_link, read_text
from gef_registry.service.version import is_version, suggest_version

MAX_LABELS = 512
MAX_KEY_LENGTH = 256
MAX_VALUE_LENGTH = 4096


def parse(labels: Mapping[str, str | None], *, has_command: bool) -> Parsed:
    """Reads the labels of an image. `has_command`: whether its config has an ENTRYPOINT or a CMD.

    A value of None stands for a label that is set to something not known yet (a Dockerfile's build argument):
    it counts as there, nothing is said about it, and no service is described from it.
    """
    problems = Problems()
    if not has_command:
        problems.add(catalogue.NO_COMMAND, "", "a job would have nothing to start")
    ours = sorted(key for key in labels if belongs_to_contract(key))
    if not ours:
        problems.add(catalogue.NOT_A_SERVICE, "", f"no label begins with {PREFIX}")
        return Parsed(None, problems.ordered())
    admitted = _within_bounds(labels, ours, problems)
    usable = _by_components(recognise(admitted, problems), admitted)
    service = _read_service(usable, labels, problems)
    complete = None not in admitted.values()
    return Parsed(service if complete and not problems.prevent_service else None, problems.ordered())


def _within_bounds(labels: Mapping[str, str | None], ours: list[str], problems: Problems) -> dict[str, str | None]:
    """Our labels that are short enough and few enough to be read; a value that may not be used becomes None."""
    if len(ours) > MAX_LABELS:
        message = f"{len(ours)} labels; the first {MAX_LABELS} by key are read"
        problems.add(catalogue.BOUNDS, "", message)
    admitted: dict[str, str | None] = {}
    for key in ours[:MAX_LABELS]:
        if len(key) > MAX_KEY_LENGTH:
            problems.add(catalogue.BOUNDS, key, f"the key has {len(key)} characters; at most {MAX_KEY_LENGTH}")
        elif has_forbidden(key):
            problems.add(catalogue.FORBIDDEN_CHARACTER, key, f"the key {quoted(key)} holds characters nobody can see")
        else:
            admitted[key] = _usable_value(key, labels[key], problems)
    return admitted


def _usable_value(key: str, value: str | None, problems: Problems) -> str | None:
    if value is None:
        return None
    if len(value) > MAX_VALUE_LENGTH:
        problems.add(catalogue.BOUNDS, key, f"the value has {len(value)} characters; at most {MAX_VALUE_LENGTH}")
        return None
    if has_forbidden(value):
        message = f"the value {quoted(value)} holds control or bidirectional characters"
        suggestion = " ".join("".join(" " if has_forbidden(c) else c for c in value).split())
        problems.add(catalogue.FORBIDDEN_CHARACTER, key, message, printable(suggestion))
        return None
    return value


def _by_components(known: list[Known], values: Mapping[str, str | None]) -> dict[tuple[str, ...], Label]:
    """Labels by the components of their keys; one that is written exactly wins over its misspellings."""
    found: dict[tuple[str, ...], Label] = {}
    for entry in sorted(known, key=lambda entry: (not entry.exact, entry.key)):
        found.setdefault(entry.components, Label(entry.key, values[entry.key]))
    return dict(sorted(found.items()))


def _read_service(
    labels: Mapping[tuple[str, ...], Label], all_labels: Mapping[str, str | None], problems: Problems
) -> Service:
    """A service from whatever could be read; the caller drops it when a problem prevents one."""
    name = _required(labels, "name", MAX_NAME, problems)
    description = _required(labels, "description", MAX_DESCRIPTION, problems)
    version = _read_version(labels.get(("version",)), problems)
    ports = group_ports(labels, problems)
    inputs: tuple[InputPort, ...] = read_inputs(ports, problems)
    outputs: tuple[OutputPort, ...] = read_outputs(ports, problems)
    check_overlaps(ports, problems)
    oci = {key: _oci_label(key, all_labels, problems) for key in OCI_LABELS}
    return Service(
        name=name or "",
        description=description or "",
        version=version or "",
        inputs=inputs,
        outputs=outputs,
        topics=declarations.read_topics(labels, problems),
        network=declarations.read_network(labels.get(("network",)), problems),
        resources=declarations.read_resources(labels, problems),
        tests=declarations.read_tests(labels, ports, inputs, problems),
        licence=_oci_text(oci[OCI_LICENCE]),
        authors=_oci_text(oci[OCI_AUTHORS]),
        source=read_link(oci[OCI_SOURCE], problems),
        documentation=read_link(oci[OCI_DOCUMENTATION], problems),
    )


def _required(labels: Mapping[tuple[str, ...], Label], name: str, maximum: int, problems: Problems) -> str | None:
    label = labels.get((name,))
    if label is None:
        key = PREFIX + name
        problems.add(catalogue.REQUIRED_LABEL_MISSING, key, f"{key} is missing")
        return None
    return read_text(label, maximum, problems)


def _read_version(label: Label | None, problems: Problems) -> str | None:
    if label is None:
        key = PREFIX + "version"
        problems.add(catalogue.REQUIRED_LABEL_MISSING, key, f"{key} is missing")
        return None
    if label.value is None or is_version(label.value):
        return label.value
    message = f"{quoted(label.value)} is neither SemVer nor N nor N.N"
    problems.add(catalogue.VERSION_SYNTAX, label.key, message, suggest_version(label.value))
    return None


def _oci_label(key: str, labels: Mapping[str, str | None], problems: Problems) -> Label | None:
    """One of the OCI labels that describe a service, held to the same bounds and characters."""
    if labels.get(key) in (None, ""):
        return None
    return Label(key, _usable_value(key, labels[key], problems))


def _oci_text(label: Label | None) -> str | None:
    return (label.value or "").strip() or None if label else None
