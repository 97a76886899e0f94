"""Whatever stands in a document, its reader answers with a value or with VerificationFailed, never with another error."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.errors import VerificationFailed
from gef_registry.signing import dsse
from gef_registry.signing.dsse import parse_envelope
from gef_registry.signing.keyset import parse_keyset, root_fingerprint
from gef_registry.signing.leaf import check_statement, parse_leaf
from gef_registry.signing.revocation import parse_revocation
from gef_registry.signing.statement import admission_statement, parse_admission
from gef_registry.signing.verify import open_admission
from tests.fakes.signer import NOW, Signer, admission, digest

SIGNER = Signer()
ENTRY = SIGNER.entry(admission(expires_at=NOW))
READERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "envelope": (parse_envelope, ENTRY.statement),
    "admission": (parse_admission, admission_statement(admission(expires_at=NOW, supersedes_revocation=1))),
    "keyset": (parse_keyset, dsse.parse_envelope(SIGNER.keyset_raw).payload),
    "signed keyset": (root_fingerprint, SIGNER.keyset_raw),
    "hashedrekord": (parse_leaf, ENTRY.leaf),
    "revocation": (parse_revocation, SIGNER.revocation(digest("image")).leaf),
    "opened admission": (lambda raw: open_admission(raw, SIGNER.keyset), ENTRY.statement),
}

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
    | st.sampled_from(["", "AAAA", "sha256:" + "0" * 64, "9999-99-99T99:99:99Z", "0001-01-01T00:00:00Z", "\x00", "é"])
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in _places(child, (*path, key)))]


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_value_in_any_place_is_read_or_refused(name: str, data: st.DataObject) -> None:
    read, good = READERS[name]
    document = copy.deepcopy(json.loads(good))
    path = data.draw(st.sampled_from(_places(document)[1:]))
    parent = document
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = data.draw(_JSON)
    with contextlib.suppress(VerificationFailed):
        read(json.dumps(document, separators=(",", ":")).encode())


@pytest.mark.parametrize("name", READERS)
@given(raw=st.binary(max_size=60))
@settings(max_examples=30, deadline=None)
def test_any_bytes_are_read_or_refused(name: str, raw: bytes) -> None:
    with contextlib.suppress(VerificationFailed):
        READERS[name][0](raw)
    assert isinstance(check_statement(ENTRY.leaf, raw), str)
