"""USR-001: the image runs as root.

Decided by `config.User` alone, read as engines read it (moby/sys/user): the part before the first colon; empty is uid 0;
a number is a uid, passwd or not; a name is looked up in the effective /etc/passwd, where a uid that is no number counts
as 0.
"""

from __future__ import annotations

import re

from gef_registry.checks.check import Seen, finding, on_each_config, shown
from gef_registry.checks.model import CheckInfo, Outcome, Severity
from gef_registry.facts.model import PasswdState, PlatformFacts
from gef_registry.oci.config import ImageConfig

INFO = CheckInfo(
    id="USR-001",
    slug="root-user",
    title="The image runs as root",
    severity=Severity.HIGH,
    rationale="A process that breaks out of a container keeps its user: as root it owns the host. No service that reads "
    "inputs and writes outputs needs it.",
    remediation="End the Dockerfile with a USER that is not root, best as a number: USER 65534:65534.",
    references=("CIS Docker Benchmark 4.1", "NIST SP 800-190 3.1.2", "CIS-DI-0001", "DS-0002", "DL3002"),
)
_NUMBER = re.compile(r"[+-]?[0-9]+", re.ASCII)


def _look(platform: PlatformFacts, config: ImageConfig) -> Seen:
    if config.platform.os == "windows":
        return Seen(outcome=Outcome.UNKNOWN, reason="users of Windows images are not understood")
    name = config.user.partition(":")[0]
    if not name:
        return _root("the image names no user, so it runs as root", "unset")
    if _NUMBER.fullmatch(name):
        return _root(f"USER {shown(name)} is root", "zero") if int(name[:20]) == 0 else Seen()
    if name == "root":
        return _root("USER root is root", "root")
    return _by_name(platform, name)


def _by_name(platform: PlatformFacts, name: str) -> Seen:
    passwd = platform.passwd
    if passwd.state is PasswdState.UNRESOLVED:
        return Seen(outcome=Outcome.UNKNOWN, reason=f"user {shown(name)}: {passwd.reason}")
    uids = uids_of(name, passwd.content)
    if not uids:
        missing = "the image has no /etc/passwd" if passwd.state is PasswdState.ABSENT else "it is not in /etc/passwd"
        return Seen(outcome=Outcome.UNKNOWN, reason=f"user {shown(name)}: {missing}")
    if 0 in uids:
        return _root(f"USER {shown(name)} has uid 0 in /etc/passwd: it is root", "passwd")
    return Seen()


def uids_of(name: str, passwd: bytes) -> list[int]:
    """The uids of every line of that name. A uid that is missing or no number is 0, as engines read it."""
    wanted = name.encode("utf-8", "surrogatepass")
    uids = []
    for line in passwd.split(b"\n"):
        fields = line.strip().split(b":")
        if fields[0] == wanted:
            field = fields[2] if len(fields) > 2 else b""
            uids.append(int(field[:20]) if re.fullmatch(rb"[+-]?[0-9]+", field) else 0)
    return uids


def _root(message: str, evidence: str) -> Seen:
    return Seen((finding(INFO, message, evidence=evidence),))


CHECK = on_each_config(INFO, _look)
