"""Reads a policy file: YAML bytes in, a `Policy` out, or a message that names line, column and what to write instead.

A policy that says nothing, says two things or names a check that does not exist is refused here, so that judging never
meets one. The numbered steps of `load_policy` are the whole of what a loaded policy guarantees.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gef_registry.checks.model import CheckInfo, Severity
from gef_registry.errors import BadInput
from gef_registry.oci import strict_json
from gef_registry.oci.digest import Digest
from gef_registry.policy import match
from gef_registry.policy.model import (
    ContentLimits,
    Policy,
    RepositoryRules,
    Rule,
    ScannerRequirement,
    family_of,
)
from gef_registry.policy.verdict import Action
from gef_registry.policy.waivers import read_waivers
from gef_registry.policy.yaml_document import Path, YamlDocument, read_yaml
from gef_registry.resources import read_resource

_UNITS = {"MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SHOWN_ERRORS = 5


def load_policy(raw: bytes, *, known: Mapping[str, CheckInfo], what: str = "policy") -> Policy:
    """Reads a policy; `known` are all checks there are, `what` names the file in messages. Raises BadInput.

    1. YAML is read strictly and held to `schemas/policy.schema.json`.
    2. Every rule names a known check or family; no rule softens an integrity check.
    3. No two repository globs can tie.
    4. Every waiver has its own id, a waivable check, a narrowing matcher and at most `max_waiver_days`.
    """
    document = read_yaml(raw, what=what)
    if not document.value:
        raise document.error((), "the policy is empty", hint="start from `gef-registry policy show default`")
    _require_schema(document)
    value = document.value
    metadata = value["metadata"]
    given: dict[str, Any] = {key: value[key] for key in ("approvals", "max_waiver_days") if key in value}
    if "unknown" in value:
        given["unknown"] = Action(value["unknown"])
    if "required" in value.get("scanner", {}):
        given["scanner"] = ScannerRequirement(value["scanner"]["required"])
    if "max_age_hours" in value.get("database", {}):
        given["database_max_age_hours"] = value["database"]["max_age_hours"]
    if "review_by" in metadata:
        given["review_by"] = document.day(("metadata", "review_by"), metadata["review_by"])
    policy = Policy(
        name=metadata["name"],
        owner=metadata["owner"],
        description=metadata.get("description", "").strip(),
        raw=raw,
        digest=Digest.of(raw),
        severities=MappingProxyType({Severity(name): Action(action) for name, action in value["severities"].items()}),
        rules=_rules(document, ("rules",), value.get("rules", {}), known),
        repositories=_repositories(document, value.get("repositories", []), known),
        limits=_limits(value.get("limits", {})),
        waivers=read_waivers(document, value.get("waivers", []), known),
        **given,
    )
    _require_short_waivers(document, policy)
    return policy


def _require_known(document: YamlDocument, path: Path, check: str, known: Mapping[str, CheckInfo]) -> None:
    """Raises BadInput, with a suggestion, unless `check` is a known id or a known family written `LBL-*`."""
    if check in known or (check.endswith("-*") and any(family_of(id_) + "*" == check for id_ in known)):
        return
    by_slug = {info.slug: info.id for info in known.values()}
    near = by_slug.get(check) or next(iter(difflib.get_close_matches(check.upper(), known, n=1, cutoff=0.6)), None)
    hint = f"did you mean {near}? " if near else ""
    raise document.error(
        path, f"no check is called {check[:100]!r}", hint=f"{hint}`gef-registry checks list` shows all of them"
    )


@functools.cache
def _validator() -> Any:
    import jsonschema

    schema = strict_json.load_object(read_resource("schemas", "policy.schema.json"), what="policy.schema.json")
    return jsonschema.Draft202012Validator(schema)


def _require_schema(document: YamlDocument) -> None:
    errors = sorted(
        _validator().iter_errors(document.value), key=lambda e: (list(map(str, e.absolute_path)), e.message)
    )
    if not errors:
        return
    problems = sorted(((document.at(path), problem) for path, problem in map(_explain, errors)), key=_by_place)
    shown = [f"{document.what}, {position}: {problem}" for position, problem in problems[:_SHOWN_ERRORS]]
    more = f"\n… and {len(problems) - _SHOWN_ERRORS} more" if len(problems) > _SHOWN_ERRORS else ""
    raise BadInput("\n".join(shown) + more)


def _by_place(problem: tuple[Any, str]) -> tuple[int, int, str]:
    return problem[0].line, problem[0].column, problem[1]


def _explain(error: Any) -> tuple[Path, str]:
    """The path of a schema error, moved to the key that is at fault, and the error in the words of a policy's author."""
    path: Path = tuple(error.absolute_path)
    name = ".".join(str(part) for part in path)
    where = f"{name}: " if name else ""
    match error.validator:
        case "additionalProperties":
            allowed = error.schema.get("properties", {})
            extra = next(key for key in error.instance if key not in allowed)
            near = difflib.get_close_matches(extra, allowed, n=1)
            meant = f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(allowed)}"
            return (*path, extra), f"{where}unknown key {extra[:100]!r}; {meant}"
        case "required":
            missing = next(key for key in error.validator_value if key not in error.instance)
            return path, f"{where}the key {missing!r} is missing"
        case "enum":
            wanted = ", ".join(map(str, error.validator_value))
            return path, f"{where}{str(error.instance)[:100]!r} is not one of: {wanted}"
        case "minProperties":
            return path, f"{where}it says nothing; write at least one key"
        case "not":
            return path, f"{where}action and at_least contradict each other; write one of them"
        case "minLength":
            return path, f"{where}{len(error.instance)} characters, at least {error.validator_value} are needed"
        case "pattern":
            return path, f"{where}{str(error.instance)[:100]!r} is not written as expected ({error.validator_value})"
        case _:
            return path, f"{where}{error.message[:300]}"


def _rules(
    document: YamlDocument, path: Path, value: Mapping[str, Any], known: Mapping[str, CheckInfo]
) -> Mapping[str, Rule]:
    rules = {}
    for check, rule in value.items():
        _require_known(document, (*path, check), check, known)
        actions = {name: Action(action) for name, action in rule.items()}
        info = known.get(check)
        if info is not None and not info.waivable and actions.get("action", Action.DENY) is not Action.DENY:
            raise document.error(
                (*path, check), f"{check} guards integrity: its findings always deny, a policy cannot soften them"
            )
        rules[check] = Rule(**actions)
    return MappingProxyType(rules)


def _repositories(
    document: YamlDocument, value: list[dict[str, Any]], known: Mapping[str, CheckInfo]
) -> tuple[RepositoryRules, ...]:
    found: list[RepositoryRules] = []
    for number, entry in enumerate(value):
        path: Path = ("repositories", number)
        rules = _rules(document, (*path, "rules"), entry.get("rules", {}), known)
        for other in found:
            if match.ties((other.repository, entry["repository"])):
                problem = (
                    f"{entry['repository']!r} and {other.repository!r} are equally specific and fit the same names"
                )
                raise document.error((*path, "repository"), problem, hint="make one of them more specific")
        found.append(RepositoryRules(entry["repository"], rules, entry.get("approvals")))
    return tuple(found)


def _limits(value: Mapping[str, Any]) -> ContentLimits:
    size = value.get("uncompressed_bytes")
    if isinstance(size, str):
        value = {**value, "uncompressed_bytes": int(size[:-3]) * _UNITS[size[-3:]]}
    return ContentLimits(**value)


def _require_short_waivers(document: YamlDocument, policy: Policy) -> None:
    for number, waiver in enumerate(policy.waivers):
        days = (waiver.expires - waiver.created).days
        if days > policy.max_waiver_days:
            problem = f"{waiver.id} would hold for {days} days, at most {policy.max_waiver_days} are allowed"
            raise document.error(("waivers", number, "expires"), problem)
