"""Waivers: read from a policy file, and matched with findings.

A waiver names one check and at least one thing it narrows to. It never matches message text. One for a secret names
the very file and fingerprint, so that a second secret in the same image is not excused with the first.
"""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Mapping
from typing import Any

from gef_registry.checks.model import CheckInfo, Finding
from gef_registry.oci.digest import Digest
from gef_registry.policy import match
from gef_registry.policy.model import Matcher, Waiver
from gef_registry.policy.yaml_document import Path, YamlDocument

_SECRETS = "SEC-"


def is_in_force(waiver: Waiver, at: datetime.datetime) -> bool:
    """Does the waiver hold at that moment? `at` has a time zone."""
    return waiver.created <= at.astimezone(datetime.UTC).date() <= waiver.expires


def has_expired(waiver: Waiver, at: datetime.datetime) -> bool:
    return at.astimezone(datetime.UTC).date() > waiver.expires


def concerns(waiver: Waiver, *, repository: str | None, digest: Digest | None) -> bool:
    """Is the waiver about this image at all? An image without a repository fits no waiver that names one."""
    wanted = waiver.match
    if wanted.repository is not None and (repository is None or not match.fits(wanted.repository, repository)):
        return False
    return wanted.digest is None or wanted.digest == digest


def excuses(waiver: Waiver, finding: Finding) -> bool:
    """Does the waiver fit this finding, its image being the right one?"""
    wanted, location = waiver.match, finding.location
    return (
        waiver.rule == finding.check
        and (wanted.platform is None or wanted.platform == location.platform)
        and (wanted.path is None or (location.path is not None and match.fits(wanted.path, location.path)))
        and (wanted.fingerprint is None or wanted.fingerprint == finding.fingerprint)
    )


def read_waivers(
    document: YamlDocument, value: list[dict[str, Any]], known: Mapping[str, CheckInfo]
) -> tuple[Waiver, ...]:
    """The waivers of a policy whose YAML fits the schema. Raises BadInput, with the place."""
    waivers: list[Waiver] = []
    for number, entry in enumerate(value):
        path: Path = ("waivers", number)
        if any(entry["id"] == other.id for other in waivers):
            raise document.error((*path, "id"), f"a second waiver is called {entry['id']}")
        _require_waivable(document, path, entry["rule"], known)
        _require_narrow(document, path, entry)
        created, expires = (document.day((*path, key), entry[key]) for key in ("created", "expires"))
        if expires < created:
            raise document.error((*path, "expires"), f"{expires} is before {created}, the day it was created")
        waivers.append(
            Waiver(
                id=entry["id"],
                rule=entry["rule"],
                match=_matcher(entry["match"]),
                owner=entry["owner"].strip(),
                reason=entry["reason"].strip(),
                created=created,
                expires=expires,
                approved_by=entry.get("approved_by"),
            )
        )
    return tuple(waivers)


def _matcher(value: Mapping[str, str]) -> Matcher:
    digest = Digest.parse(value["digest"]) if "digest" in value else None
    return Matcher(**{**value, "digest": digest})  # type: ignore[arg-type]


def _require_waivable(document: YamlDocument, path: Path, rule: str, known: Mapping[str, CheckInfo]) -> None:
    info = known.get(rule)
    if info is None:
        near = difflib.get_close_matches(rule.upper(), known, n=1)
        hint = f"did you mean {near[0]}?" if near else "`gef-registry checks list` shows all of them"
        raise document.error((*path, "rule"), f"a waiver names one check, and none is called {rule[:100]!r}", hint=hint)
    if not info.waivable:
        raise document.error((*path, "rule"), f"{rule} guards integrity and cannot be waived")
    if rule.startswith("POL-"):
        raise document.error((*path, "rule"), f"{rule} is about waivers themselves and cannot be waived")


def _require_narrow(document: YamlDocument, path: Path, entry: Mapping[str, Any]) -> None:
    wanted: Mapping[str, str] = entry["match"]
    for key in ("repository", "path"):
        if key in wanted and not match.narrows(wanted[key]):
            raise document.error((*path, "match", key), f"{wanted[key]!r} fits everything, so it narrows nothing")
    if entry["rule"].startswith(_SECRETS) and not {"path", "fingerprint"} <= wanted.keys():
        raise document.error(
            (*path, "match"),
            "a waiver for a secret names both path and fingerprint, else the next secret is excused too",
        )
    if len(entry["reason"].strip()) < 20:
        raise document.error((*path, "reason"), "at least 20 characters are needed: why is this acceptable?")
