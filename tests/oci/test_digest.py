"""Digests have exactly one spelling."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.errors import BadInput, VerificationFailed
from gef_registry.oci.digest import Digest


@given(st.binary(max_size=200), st.sampled_from(["sha256", "sha512"]))
@settings(max_examples=50)
def test_a_digest_reads_back_and_matches_only_its_content(content: bytes, algorithm: str) -> None:
    digest = Digest.of(content, algorithm)
    assert Digest.parse(str(digest)) == digest
    assert str(digest) == f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    assert digest.matches(content)
    assert not digest.matches(content + b"\0")
    hasher = digest.hasher()
    hasher.update(content)
    assert Digest.from_hasher(hasher) == digest


@pytest.mark.parametrize(
    "text",
    [
        "", "sha256", "sha256:", "sha256:" + "a" * 63, "sha256:" + "a" * 65, "sha256:" + "A" * 64, "SHA256:" + "a" * 64,
        "sha512:" + "a" * 64, "sha1:" + "a" * 40, "md5:" + "a" * 32, "sha256:" + "g" * 64, " sha256:" + "a" * 64,
        "sha256:" + "a" * 64 + "\n", "sha256:" + "٣" * 64, "sha384:" + "a" * 96, "a" * 64, "sha256+b64:" + "a" * 64,
        "sha256:../" + "a" * 61,
    ],
)  # fmt: skip
def test_any_other_spelling_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        Digest.parse(text)


def test_content_with_another_digest_is_refused_by_name() -> None:
    with pytest.raises(VerificationFailed, match="the layer: expected sha256:"):
        Digest.of(b"a").require(b"b", "the layer")
    assert Digest.of(b"a").require(b"a", "the layer") == b"a"
