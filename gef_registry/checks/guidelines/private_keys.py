"""SEC-001: a private key in a layer (deleted and overwritten files too), a variable, a label or the history.

Only keys that decode are reported, with their place and kind and never their content. An encrypted key is medium: its
passphrase is all that protects it.
"""

from __future__ import annotations

from gef_registry.checks.check import Seen, finding, on_each_platform, shown
from gef_registry.checks.model import CheckInfo, Finding, Location, Outcome, Severity, Visibility
from gef_registry.facts.model import ConfigKey, Fate, KeySighting, LayerKey, PlatformFacts

INFO = CheckInfo(
    id="SEC-001",
    slug="private-key",
    title="The image holds a private key",
    severity=Severity.CRITICAL,
    rationale="Whoever can pull the image has the key. Deleting the file in a later layer hides it from view only: the "
    "layer that holds it is still pulled.",
    remediation="Revoke the key. Build again without ever copying it in (a build secret mount, or another build stage).",
    references=("CIS Docker Benchmark 4.10", "NIST SP 800-190 3.1.4", "CIS-DI-0010"),
)
_NAMES = {
    "pkcs1": "RSA private key (PKCS#1)",
    "pkcs8": "private key (PKCS#8)",
    "sec1": "EC private key (SEC 1)",
    "dsa": "DSA private key",
    "openssh": "OpenSSH private key",
    "putty": "PuTTY private key",
    "openpgp": "OpenPGP secret key",
    "age": "age identity",
}
_SAID_OF_FATE = {
    Fate.VISIBLE: "",
    Fate.DELETED: ", deleted by a later layer",
    Fate.OVERWRITTEN: ", overwritten by a later layer",
}


def _look(platform: PlatformFacts) -> Seen:
    findings = [_in_layer(key) for key in platform.layer_keys] + [_in_config(key) for key in platform.config_keys]
    if platform.unread_layers or platform.config is None:
        unread = f"{platform.unread_layers} layers could not be read" if platform.unread_layers else "no configuration"
        return Seen(tuple(findings), Outcome.ERROR, unread)
    return Seen(tuple(findings))


def _in_layer(key: LayerKey) -> Finding:
    sighting = key.sighting
    place = f"/{shown(sighting.path)}" if sighting.path is not None else "the archive outside any file"
    message = f"layer {key.layer + 1} holds {_described(sighting)} in {place} at byte {sighting.offset}{_SAID_OF_FATE[key.fate]}"
    location = Location(
        layer=str(key.diff_id),
        path=shown(sighting.path, 4096) if sighting.path is not None else None,
        visibility=Visibility(key.fate.value),
    )
    return finding(INFO, message, severity=_severity(sighting), location=location, evidence=_evidence(sighting))


def _in_config(key: ConfigKey) -> Finding:
    message = f"{shown(key.place)} holds {_described(key.sighting)}"
    evidence = f"{_evidence(key.sighting)} {shown(key.place)}"
    return finding(INFO, message, severity=_severity(key.sighting), evidence=evidence)


def _described(sighting: KeySighting) -> str:
    name = _NAMES.get(sighting.rule, "private key")
    if sighting.encrypted:
        return f"an encrypted {name}"
    return f"an {name}" if name[0] in "EORa" else f"a {name}"


def _severity(sighting: KeySighting) -> Severity:
    return Severity.MEDIUM if sighting.encrypted else Severity.CRITICAL


def _evidence(sighting: KeySighting) -> str:
    return f"{sighting.rule} {sighting.mark}"


CHECK = on_each_platform(INFO, _look)
