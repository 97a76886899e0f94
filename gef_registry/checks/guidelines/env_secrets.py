"""SEC-003: a credential in an environment variable.

Both the name and the value must look like one. Names are split into words, so that `KEYCLOAK_URL` or `ACCESS_LOG` are
nothing; values that are paths, addresses, references, switches, numbers, versions or fingerprints are nothing. The value
is never shown.
"""

from __future__ import annotations

import itertools
import re

from gef_registry.checks.check import Seen, finding, on_each_config, shown
from gef_registry.checks.model import CheckInfo, Severity
from gef_registry.facts.model import PlatformFacts
from gef_registry.oci.config import ImageConfig

INFO = CheckInfo(
    id="SEC-003",
    slug="credential-in-environment",
    title="An environment variable holds a credential",
    severity=Severity.HIGH,
    rationale="Variables of an image are readable by whoever can pull it, and stay in every image built on it.",
    remediation="Remove the ENV line, revoke the credential, and pass it when the container starts (a file, a secret mount).",
    references=("CIS Docker Benchmark 4.10", "NIST SP 800-190 3.1.4", "CIS-DI-0010", "DS-0031"),
)

_WORDS = frozenset({
    "PASSWORD", "PASSWORDS", "PASSWD", "PASSPHRASE", "PASS", "SECRET", "SECRETS", "TOKEN", "APIKEY", "CREDENTIAL",
    "CREDENTIALS", "AUTHTOKEN",
})  # fmt: skip
_KEY_OF = frozenset({"API", "ACCESS", "SECRET", "PRIVATE", "AUTH", "ENCRYPTION", "SIGNING", "ACCOUNT", "MASTER"})
_ENDINGS = ("PASSWORD", "PASSWD", "APIKEY")
_ABOUT = frozenset({
    "FILE", "PATH", "DIR", "URL", "URI", "ENDPOINT", "HOST", "HEADER", "TYPE", "NAME", "ID", "LENGTH", "SIZE",
    "TTL", "EXPIRY", "EXPIRES", "TIMEOUT", "ENABLED", "DISABLED", "REQUIRED", "POLICY", "ISSUER", "AUDIENCE",
    "ALGORITHM", "FORMAT", "PREFIX", "VERSION", "PROVIDER", "BACKEND", "METHOD",
})  # fmt: skip
_FINGERPRINTED = frozenset({"GPG", "PGP", "FINGERPRINT", "COMMIT", "SHA1", "SHA", "REVISION"})
_SWITCHES = frozenset({
    "true", "false", "yes", "no", "on", "off", "none", "null", "nil", "undefined", "enabled", "disabled", "auto",
    "default",
})  # fmt: skip
_HARMLESS = tuple(
    re.compile(pattern, re.ASCII | re.IGNORECASE)
    for pattern in (
        r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[smhdkMG]|ms|[KMG]i?B)?",  # a number, a duration, an amount
        r"v?[0-9]+(?:\.[0-9]+)+(?:[-+~._:][0-9A-Za-z.+~-]*)?",  # a version, a package's too
        r"[A-Za-z0-9._+-]+=[0-9]+(?:\.[0-9]+)+(?:-r?[0-9]+)?",  # a pinned package
        r"\$\{?[A-Za-z_][A-Za-z0-9_]*(?::?[-=?+][^}]*)?\}?",  # a reference to a variable
        r"(?:~|\.{1,2})?/(?:[^\s/]+/)*[^\s/]*",  # a path
        r"[A-Za-z]:\\\S*",
        r"<[^<>]*>|\{\{.*\}\}|\[[^\[\]]*\]|%[A-Za-z_]+%|x{3,}|\*{3,}|\.{3,}",  # a placeholder
    )
)
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?P<user>[^/@\s]*@)?\S*", re.ASCII)
_HEX_40 = re.compile(r"[0-9A-Fa-f]{40}", re.ASCII)
_PATH_LIKE_SECRET = re.compile(r"[A-Za-z0-9/+=]{40}", re.ASCII)  # e.g. an AWS secret key that begins with a slash


def names_a_credential(name: str) -> bool:
    """Does the name say that its value is a credential, rather than where one is or what it is like?"""
    words = [word for word in re.split(r"[_.\-]+", name.upper()) if word]
    if not words or words[-1] in _ABOUT:
        return False
    if any(word in _WORDS or word.endswith(_ENDINGS) for word in words):
        return True
    if len(words) > 1 and words[-1] == "PWD" and words[0] != "OLD":
        return True
    return any(first in _KEY_OF and second in ("KEY", "KEYS") for first, second in itertools.pairwise(words))


def is_harmless(name: str, value: str) -> bool:
    """Is the value something else than a credential, whatever the variable is called?"""
    value = value.strip().strip("\"'")
    if not value or value.lower() in _SWITCHES:
        return True
    address = _ADDRESS.fullmatch(value)
    if address is not None:
        return not (address["user"] or "").rstrip("@").partition(":")[2]
    if _HEX_40.fullmatch(value):
        return value == value.upper() or bool(_FINGERPRINTED & set(re.split(r"[_.\-]+", name.upper())))
    if _PATH_LIKE_SECRET.fullmatch(value) and value.count("/") < 3:
        return False
    return len(value) <= 4096 and any(pattern.fullmatch(value) for pattern in _HARMLESS)


def _look(platform: PlatformFacts, config: ImageConfig) -> Seen:
    names = {
        name: None
        for name, equals, value in (item.partition("=") for item in config.env)
        if equals and names_a_credential(name[:256]) and not is_harmless(name[:256], value)
    }
    return Seen(
        tuple(
            finding(
                INFO,
                f"the variable {shown(name, 80)} holds a credential (its value is not shown)",
                evidence=shown(name),
            )
            for name in names
        )
    )


CHECK = on_each_config(INFO, _look)
