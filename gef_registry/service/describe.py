"""A service as a JSON document (`schemas/service.schema.json`), and as the labels that declare it."""

from __future__ import annotations

from typing import Any

from gef_registry.service.model import (
    OCI_AUTHORS,
    OCI_DOCUMENTATION,
    OCI_LICENCE,
    OCI_SOURCE,
    PREFIX,
    InputPort,
    OutputPort,
    Service,
)

CONTRACT = "v1"


def describe(service: Service) -> dict[str, Any]:
    """The description that pages and the API show. What was not declared is null or empty, never left out."""
    return {
        "contract": CONTRACT,
        "name": service.name,
        "description": service.description,
        "version": service.version,
        "inputs": [_describe_input(port) for port in service.inputs],
        "outputs": [_describe_output(port) for port in service.outputs],
        "topics": list(service.topics),
        "network": service.network,
        "resources": {
            "cpus": service.resources.cpus,
            "memory_bytes": service.resources.memory_bytes,
            "gpus": service.resources.gpus,
        },
        "tests": [
            {
                "number": test.number,
                "inputs": [{"number": number, "value": value} for number, value in test.inputs],
                "outputs": [{"number": number, "sha256": digest} for number, digest in test.outputs],
            }
            for test in service.tests
        ],
        "licence": service.licence,
        "authors": service.authors,
        "source": service.source,
        "documentation": service.documentation,
    }


def _describe_input(port: InputPort) -> dict[str, Any]:
    return {
        "number": port.number,
        "name": port.name,
        "description": port.description,
        "path": port.path,
        "type": port.type,
        "filename": port.filename,
        "optional": port.optional,
        "mediatype": port.mediatype,
    }


def _describe_output(port: OutputPort) -> dict[str, Any]:
    return {
        "number": port.number,
        "name": port.name,
        "description": port.description,
        "path": port.path,
        "mediatype": port.mediatype,
    }


def to_labels(service: Service) -> dict[str, str]:
    """The labels that declare a service: parsing them gives the same service again."""
    found: dict[str, str | None] = {
        "name": service.name,
        "description": service.description,
        "version": service.version,
        "network": None if service.network == "none" else service.network,
    }
    for port in service.inputs:
        found |= _port_labels(f"input.{port.number}", port)
        found[f"input.{port.number}.type"] = port.type
        found[f"input.{port.number}.filename"] = port.filename
        found[f"input.{port.number}.optional"] = "true" if port.optional else None
    for output in service.outputs:
        found |= _port_labels(f"output.{output.number}", output)
    found |= {f"topic.{number}": topic for number, topic in enumerate(service.topics, start=1)}
    resources = service.resources
    found["resources.cpus"] = None if resources.cpus is None else f"{resources.cpus:.3f}".rstrip("0").rstrip(".")
    found["resources.memory"] = None if resources.memory_bytes is None else str(resources.memory_bytes)
    found["resources.gpus"] = None if resources.gpus is None else str(resources.gpus)
    for test in service.tests:
        found |= {f"test.{test.number}.input.{number}": value for number, value in test.inputs}
        found |= {f"test.{test.number}.output.{number}.sha256": digest for number, digest in test.outputs}
    oci = {
        OCI_LICENCE: service.licence,
        OCI_AUTHORS: service.authors,
        OCI_SOURCE: service.source,
        OCI_DOCUMENTATION: service.documentation,
    }
    ours = {PREFIX + key: value for key, value in found.items()}
    return {key: value for key, value in {**ours, **oci}.items() if value is not None}


def _port_labels(stem: str, port: InputPort | OutputPort) -> dict[str, str | None]:
    return {
        f"{stem}.name": port.name,
        f"{stem}.path": port.path,
        f"{stem}.mediatype": port.mediatype,
        f"{stem}.description": port.description,
    }
