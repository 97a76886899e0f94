"""A commented label block for a Dockerfile, which itself keeps the label contract."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gef_registry.errors import BadInput
from gef_registry.service.contract import parse
from gef_registry.service.describe import to_labels
from gef_registry.service.model import OCI_LICENCE, OCI_SOURCE, PREFIX, InputPort, OutputPort, Service

_DEFAULT_INPUTS = (InputPort(1, "Input data", "/input", "url"),)
_DEFAULT_OUTPUTS = (OutputPort(1, "Results", "/output"),)

# What stands before the first label whose key begins with one of these.
_COMMENTS: tuple[tuple[str, str], ...] = (
    ("name", "What the service is called, 1 to 120 characters."),
    ("description", "What it does, 1 to 2000 characters, one line."),
    ("version", "SemVer (1.0.0), or N, or N.N. An admitted name never changes its image: a new image needs a new one."),
    ("network", "`none` (the default) or `outbound`."),
    ("input.", "Inputs, numbered 1 to 99: a directory that is filled before the command starts. Type `url` for data,\n"
               "# `string` for a text that is written to the file `filename` in that directory."),
    ("output.", "Outputs, numbered 1 to 99: directories whose contents are kept. At least one."),
    ("topic.", "What it is about: topics of the EDAM ontology."),
    ("resources.", "What one job needs."),
    ("test.", "Runs made before admission: a value for each input, the SHA-256 of each output."),
)  # fmt: skip

_EXAMPLES = f"""\
# More that may be declared:
# LABEL "{PREFIX}input.1.optional"="true"
# LABEL "{PREFIX}output.1.mediatype"="application/json"
# LABEL "{PREFIX}topic.1"="http://edamontology.org/topic_3070"
# LABEL "{PREFIX}network"="outbound"
# LABEL "{PREFIX}resources.memory"="512MiB"
# LABEL "{OCI_LICENCE}"="Apache-2.0"
# LABEL "{OCI_SOURCE}"="https://example.org/source"
# The image also needs a command that exits with another status than 0 when it fails, and a user that is not root.
"""


def label_block(
    *,
    name: str,
    description: str,
    version: str = "0.1.0",
    inputs: Sequence[InputPort] = _DEFAULT_INPUTS,
    outputs: Sequence[OutputPort] = _DEFAULT_OUTPUTS,
    topics: Sequence[str] = (),
    licence: str | None = None,
    authors: str | None = None,
    source: str | None = None,
    documentation: str | None = None,
) -> str:
    """LABEL instructions, with comments, to paste into a Dockerfile. Raises BadInput when they break the contract."""
    return service_block(
        Service(
            name,
            description,
            version,
            tuple(inputs),
            tuple(outputs),
            tuple(topics),
            licence=licence,
            authors=authors,
            source=source,
            documentation=documentation,
        )
    )


def service_block(service: Service) -> str:
    """The same for a whole service."""
    labels = to_labels(service)
    if problems := parse(labels, has_command=True).problems:
        first = problems[0]
        raise BadInput(f"{first.code} {first.label}: {first.message}", hint=first.remediation)
    lines = ["# GEF service labels (label contract v1)."]
    explained: set[str] = set()
    for key, value in labels.items():
        comment = _comment(key)
        if comment and comment not in explained:
            explained.add(comment)
            lines.append(f"# {comment}")
        lines.append(f"LABEL {_quote(key)}={_quote(value)}")
    return "\n".join(lines) + "\n" + _EXAMPLES


def _comment(key: str) -> str | None:
    if not key.startswith(PREFIX):
        return "Licence, authors, source and documentation: the labels every OCI image has."
    rest = key.removeprefix(PREFIX)
    return next(
        (text for start, text in _COMMENTS if rest == start or (start[-1] == "." and rest.startswith(start))), None
    )


def _quote(text: str) -> str:
    """In double quotes, as a Dockerfile with the usual escape character reads them."""
    return '"' + re.sub(r'([\\"$])', r"\\\1", text) + '"'
