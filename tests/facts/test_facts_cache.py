"""A cache may forget; it may not lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.errors import BadInput
from gef_registry.facts import codec
from gef_registry.facts.cache import DirectoryCache
from gef_registry.facts.limits import Limits
from gef_registry.facts.model import KeptFile, KeySighting, LayerContent
from gef_registry.oci import media
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor

KEY, OTHER = "a" * 64, "b" * 64


def stored(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def test_what_was_put_comes_back(tmp_path: Path) -> None:
    cache = DirectoryCache(tmp_path / "cache")
    assert cache.get(KEY) is None
    cache.put(KEY, b"value")
    assert cache.get(KEY) == b"value"
    assert DirectoryCache(tmp_path / "cache").get(KEY) == b"value"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_an_altered_value_is_not_found(tmp_path_factory: pytest.TempPathFactory, at: int, flip: int) -> None:
    directory = tmp_path_factory.mktemp("cache")
    cache = DirectoryCache(directory)
    cache.put(KEY, b"the facts of a layer")
    (file,) = stored(directory)
    content = bytearray(file.read_bytes())
    content[at % len(content)] ^= flip
    file.write_bytes(content)
    assert cache.get(KEY) is None
    assert stored(directory) == []


def test_a_torn_value_is_not_found(tmp_path: Path) -> None:
    cache = DirectoryCache(tmp_path)
    cache.put(KEY, b"value" * 100)
    (file,) = stored(tmp_path)
    file.write_bytes(file.read_bytes()[:60])
    assert cache.get(KEY) is None


def test_a_value_moved_to_another_key_is_not_found(tmp_path: Path) -> None:
    cache = DirectoryCache(tmp_path)
    cache.put(KEY, b"clean")
    (tmp_path / "bb").mkdir()
    stored(tmp_path)[0].rename(tmp_path / "bb" / OTHER)
    assert cache.get(OTHER) is None


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache = DirectoryCache(tmp_path, max_bytes=5000)
    keys = [f"{n:064x}" for n in range(6)]
    for age, key in enumerate(keys[:4]):
        cache.put(key, bytes(1000))
        os.utime(tmp_path / key[:2] / key, (1_000_000 + age, 1_000_000 + age))
    assert cache.get(keys[0]) is not None  # used again
    cache.put(keys[4], bytes(1000))
    assert cache.get(keys[0]) is not None
    assert cache.get(keys[1]) is None
    assert sum(path.stat().st_size for path in stored(tmp_path)) <= 5000


def test_trouble_with_the_directory_never_raises(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    cache = DirectoryCache(blocked)
    cache.put(KEY, b"value")
    assert cache.get(KEY) is None


def test_only_the_owner_may_look_into_the_directory(tmp_path: Path) -> None:
    DirectoryCache(tmp_path / "cache").put(KEY, b"value")
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0


TEXT = st.binary(max_size=30).map(lambda b: b.decode("utf-8", "surrogateescape"))
CONTENTS = st.builds(
    LayerContent,
    diff_id=st.binary(max_size=5).map(Digest.of),
    size=st.integers(0, 1 << 50),
    entries=st.integers(0, 1 << 30),
    listing=st.binary(max_size=50),
    keys=st.lists(
        st.builds(
            KeySighting, st.just("pkcs8"), st.booleans(), st.none() | TEXT, st.integers(0, 1 << 40), st.just("ab")
        ),
        max_size=3,
    ).map(tuple),
    files=st.lists(st.builds(KeptFile, TEXT, st.just("f"), st.none() | st.binary(max_size=20), TEXT), max_size=3).map(
        tuple
    ),
)


@settings(max_examples=80, deadline=None)
@given(CONTENTS)
def test_facts_survive_the_cache_exactly(content: LayerContent) -> None:
    assert codec.decode(codec.encode(content)) == content


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b'{"diff_id":1}', b"\xff", b'{"diff_id":"sha256:00","size":-1}'])
def test_malformed_facts_are_refused(value: bytes) -> None:
    with pytest.raises(BadInput):
        codec.decode(value)


def test_the_key_names_the_blob_the_compression_the_rules_and_the_limits() -> None:
    one = Descriptor(media.OCI_LAYER_GZIP, Digest.of(b"1"), 10)
    two = Descriptor(media.OCI_LAYER_GZIP, Digest.of(b"2"), 10)
    keys = {
        codec.cache_key(one, "gzip", Limits()),
        codec.cache_key(two, "gzip", Limits()),
        codec.cache_key(one, "zstd", Limits()),
        codec.cache_key(one, "gzip", Limits(entries=5)),
    }
    assert len(keys) == 4
    assert codec.cache_key(one, "gzip", Limits(wall_clock_s=1)) == codec.cache_key(one, "gzip", Limits())
