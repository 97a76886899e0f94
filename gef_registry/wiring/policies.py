"""Policies by name or file, read with all checks there are."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

from gef_registry.checks import catalogue
from gef_registry.checks.model import CheckInfo
from gef_registry.errors import BadInput, NotFound, Unavailable
from gef_registry.policy.load import load_policy
from gef_registry.policy.model import POLICY_CHECKS, Policy
from gef_registry.policy.yaml_document import MAX_BYTES
from gef_registry.resources import read_resource, resource_directory


def known_checks() -> Mapping[str, CheckInfo]:
    """Everything a policy may speak of: the catalogue, and what policies find fault with in themselves."""
    return {**catalogue.known(), **{info.id: info for info in POLICY_CHECKS}}


def shipped_policies() -> tuple[str, ...]:
    """The names of the policies that come with the program."""
    return tuple(sorted(path.stem for path in resource_directory("policies").glob("*.yaml")))


def read_policy_bytes(name_or_file: str) -> bytes:
    """The exact bytes of a shipped policy (by name) or of a file (anything with a slash or a suffix).

    Raises BadInput for a name nobody ships, NotFound and Unavailable for files.
    """
    if name_or_file in shipped_policies():
        return read_resource("policies", f"{name_or_file}.yaml")
    path = Path(name_or_file)
    if "/" not in name_or_file and not path.suffix:
        near = difflib.get_close_matches(name_or_file, shipped_policies(), n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise BadInput(
            f"no policy is called {name_or_file[:100]!r}",
            hint=f"{hint}there are {', '.join(shipped_policies())}; write ./{name_or_file[:100]} for a file",
        )
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise NotFound(f"policy file {name_or_file}: there is no such file") from error
    except OSError as error:
        raise Unavailable(f"policy file {name_or_file}: cannot be read: {error.strerror}") from error


def load_named_policy(name_or_file: str) -> Policy:
    """A shipped policy or a file, ready to decide with. Raises BadInput, NotFound, Unavailable."""
    return load_policy(read_policy_bytes(name_or_file), known=known_checks(), what=name_or_file)
