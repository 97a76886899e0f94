"""Reading what a service declares beside its ports: topics, network, resources and self-tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gef_registry.service import catalogue, grammar
from gef_registry.service.keys import canonical_number
from gef_registry.service.model import PREFIX, InputPort, Network, Problems, Resources, SelfTest, quoted
from gef_registry.service.ports import PortLabels
from gef_registry.service.texts import Label

Labels = Mapping[tuple[str, ...], Label]


def read_topics(labels: Labels, problems: Problems) -> tuple[str, ...]:
    """The EDAM topics in the order of their numbers; a repeated one is a problem."""
    topics: dict[str, None] = {}
    for number, components in _numbered(labels, "topic", problems):
        label = labels[components]
        if label.value is None:
            continue
        if not grammar.is_topic(label.value):
            message = f"{quoted(label.value)} is not the address of an EDAM topic"
            problems.add(catalogue.TOPIC_SYNTAX, label.key, message, grammar.suggest_topic(label.value))
        elif label.value in topics:
            problems.add(catalogue.TOPIC_SYNTAX, label.key, f"{quoted(label.value)} is there already")
        elif number is not None:
            topics[label.value] = None
    return tuple(topics)


def read_network(label: Label | None, problems: Problems) -> Network:
    """`none` unless the label says `outbound` exactly."""
    if label is None or label.value in (None, "none"):
        return "none"
    if label.value == "outbound":
        return "outbound"
    value = str(label.value).strip().lower()
    meant = value if value in ("none", "outbound") else None
    problems.add(catalogue.NETWORK_VALUE, label.key, f"{quoted(str(label.value))} is neither none nor outbound", meant)
    return "none"


def read_resources(labels: Labels, problems: Problems) -> Resources:
    """The amounts that are readable; an unreadable one is a problem and not declared."""

    def value(name: str) -> str | None:
        label = labels.get(("resources", name))
        return label.value if label else None

    cpus, memory, gpus = (value(name) for name in ("cpus", "memory", "gpus"))
    resources = Resources(
        cpus=None if cpus is None else grammar.cpus(cpus),
        memory_bytes=None if memory is None else grammar.memory_bytes(memory),
        gpus=None if gpus is None else grammar.gpus(gpus),
    )
    readings = (
        ("cpus", cpus, resources.cpus),
        ("memory", memory, resources.memory_bytes),
        ("gpus", gpus, resources.gpus),
    )
    for name, given, read in readings:
        if given is not None and read is None:
            suggestion = grammar.suggest_memory(given) if name == "memory" else None
            key = labels["resources", name].key
            problems.add(catalogue.RESOURCE_VALUE, key, f"{quoted(given)} is no amount of {name}", suggestion)
    return resources


def read_tests(
    labels: Labels, ports: Iterable[PortLabels], inputs: Iterable[InputPort], problems: Problems
) -> tuple[SelfTest, ...]:
    """The self-tests whose values and ports all hold. `ports` are all declared ones, `inputs` the valid ones."""
    declared: set[tuple[str, int]] = {(port.direction, port.number) for port in ports if port.number is not None}
    required = {port.number for port in inputs if not port.optional}
    given: dict[int, tuple[dict[int, str], dict[int, str]]] = {}
    spoiled: set[int] = set()
    for number, components in _numbered(labels, "test", problems):
        if number is None:
            continue
        values = given.setdefault(number, ({}, {}))
        port = _test_port(components, labels[components], declared, problems)
        value = _test_value(components[2], labels[components], problems)
        if port is None or value is None:
            spoiled.add(number)
        else:
            values[components[2] == "output"][port] = value
    for number, (values_in, _) in given.items():
        if number not in spoiled and (missing := sorted(required - set(values_in))):
            spoiled.add(number)
            message = f"test {number} has no value for the required input {missing[0]}"
            key = f"{PREFIX}test.{number}.input.{missing[0]}"
            problems.add(catalogue.TEST_INCOMPLETE, key, message, key)
    return tuple(
        SelfTest(number, tuple(sorted(values_in.items())), tuple(sorted(values_out.items())))
        for number, (values_in, values_out) in sorted(given.items())
        if number not in spoiled
    )


def _test_port(
    components: tuple[str, ...], label: Label, declared: set[tuple[str, int]], problems: Problems
) -> int | None:
    """The number of the port a test label is about, when it is written plainly and that port is declared."""
    direction, spelling = components[2], components[3]
    if not grammar.is_port_number(spelling):
        problems.add(
            catalogue.PORT_NUMBER, label.key, f"{quoted(spelling)} is not a number from 1 to 99 in plain decimal"
        )
        return None
    if (direction, int(spelling)) not in declared:
        problems.add(catalogue.TEST_UNKNOWN_PORT, label.key, f"there is no {direction} {spelling}")
        return None
    return int(spelling)


def _test_value(direction: str, label: Label, problems: Problems) -> str | None:
    if label.value is None:
        return None
    if direction == "output" and not grammar.is_sha256(label.value):
        lowered = label.value.strip().lower().removeprefix("sha256:")
        meant = lowered if grammar.is_sha256(lowered) else None
        problems.add(catalogue.TEST_VALUE, label.key, f"{quoted(label.value)} is not a SHA-256 in hexadecimal", meant)
        return None
    if not label.value.strip():
        problems.add(catalogue.TEST_VALUE, label.key, "the value of the input is empty")
        return None
    return label.value


def _numbered(labels: Labels, section: str, problems: Problems) -> list[tuple[int | None, tuple[str, ...]]]:
    """(number, components) of a numbered section in the order of the numbers; None for a wrongly spelled number."""
    found: list[tuple[int | None, tuple[str, ...]]] = []
    for components, label in labels.items():
        if components[0] != section:
            continue
        spelling = components[1]
        plain = grammar.is_port_number(spelling)
        if not plain:
            number = canonical_number(spelling)
            meant = PREFIX + ".".join((section, str(number), *components[2:])) if number else None
            message = f"{quoted(spelling)} is not a number from 1 to 99 in plain decimal"
            problems.add(catalogue.PORT_NUMBER, label.key, message, meant)
        found.append((int(spelling) if plain else None, components))
    return sorted(found, key=lambda entry: (entry[0] or 0, entry[1]))
