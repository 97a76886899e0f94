"""One run of the OCI distribution conformance suite, and what it says of each API and each kind of data.

    results = run_conformance(oci_conformance, registry.host, tmp_path, OCI_USERNAME="ada", OCI_PASSWORD=token)
    assert results["Manifest put by tag"] == "Pass"

Settings are the suite's own OCI_* variables (its README lists them). Values: Pass, FAIL, Skip, Disabled, Error, ...
`junit.xml`, `report.html` and `results.yaml`, which name every request, are left in `directory`.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.parts.process import Tool

_LINE = re.compile(r"^  ([A-Z][^:]*?)\.*: +(\S+)$", re.MULTILINE)


def run_conformance(suite: Tool, host: str, directory: Path, **settings: str) -> dict[str, str]:
    """Runs the whole suite against the plain http registry at `host` (`OCI_TLS="enabled"` for https)."""
    fixed = {
        "OCI_REGISTRY": host,
        "OCI_TLS": "disabled",
        "OCI_VERSION": "1.1",
        "OCI_LOG": "error",
        "OCI_RESULTS_DIR": str(directory),
    }
    done = Tool(suite.words, {**suite.env, **fixed, **settings})(check=False, timeout_s=600)
    results = dict(_LINE.findall(done.stdout))
    assert results, f"the conformance suite gave no result: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return results
