"""What a container sees after all layers: deletions, opaque directories, replacements, the effective passwd."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.facts.layers import ArchiveReader
from gef_registry.facts.limits import Budget, Limits
from gef_registry.facts.listing import ListingWriter, fates, read_listing
from gef_registry.facts.model import Fate, LayerFacts, Passwd, PasswdState
from gef_registry.facts.overlay import effective_passwd
from gef_registry.oci import media
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor
from tests.parts.tars import FileSpec, layer

DESCRIPTOR = Descriptor(media.OCI_LAYER, Digest.of(b""), 0)
ROOT = "root:x:0:0::/root:/bin/sh\n"


def facts_of(*tars: bytes) -> list[LayerFacts]:
    found = []
    for tar in tars:
        reader = ArchiveReader(Budget(Limits()), len(tar))
        reader.feed(tar)
        content = reader.finish()
        found.append(LayerFacts(DESCRIPTOR, content.diff_id, content))
    return found


def fate(path: str, *above: bytes) -> Fate:
    return fates([path], [layer.content.listing for layer in facts_of(*above) if layer.content])[path]


OTHER = layer({"opt/tool": b"x"})
CASES = [
    (OTHER, Fate.VISIBLE),
    (layer({"root/.ssh": FileSpec(kind="dir")}), Fate.VISIBLE),
    (layer({"root/.ssh/id_rsa2": b""}), Fate.VISIBLE),
    (layer({}, whiteouts=["root/.ssh/id_rs"]), Fate.VISIBLE),
    (layer({"root/.ssh/id_rsa": b"new"}), Fate.OVERWRITTEN),
    (layer({"root/.ssh/id_rsa": FileSpec(kind="symlink", target="/dev/null")}), Fate.OVERWRITTEN),
    (layer({"root/.ssh/id_rsa": b"new"}, whiteouts=["root/.ssh/id_rsa"]), Fate.OVERWRITTEN),
    (layer({}, whiteouts=["root/.ssh/id_rsa"]), Fate.DELETED),
    (layer({}, whiteouts=["root/.ssh"]), Fate.DELETED),
    (layer({}, whiteouts=["root"]), Fate.DELETED),
    (layer({}, opaque=["root/.ssh"]), Fate.DELETED),
    (layer({}, opaque=["root"]), Fate.DELETED),
    (layer({"root/.ssh": FileSpec(kind="symlink", target="/elsewhere")}), Fate.DELETED),
]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_later_layers_decide_what_becomes_of_a_file(number: int) -> None:
    above, expected = CASES[number]
    assert fate("root/.ssh/id_rsa", above) is expected
    assert fate("root/.ssh/id_rsa", OTHER, above, OTHER) is expected


def test_the_first_thing_that_happens_to_a_file_counts() -> None:
    gone, new = layer({}, whiteouts=["k"]), layer({"k": b"new"})
    assert fate("k", gone, new) is Fate.DELETED
    assert fate("k", new, gone) is Fate.OVERWRITTEN


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("fdlhnwo"), st.text(st.characters(exclude_characters="\0", codec="utf-8")))))
def test_a_listing_gives_back_what_was_written(records: list[tuple[str, str]]) -> None:
    writer = ListingWriter()
    for kind, path in records:
        writer.add(kind, path)
    assert list(read_listing(writer.finish())) == records


def test_a_listing_of_many_entries_streams() -> None:
    writer = ListingWriter()
    for number in range(40_000):
        writer.add("f", f"usr/share/doc/{number:0120d}")
    read = read_listing(writer.finish())
    assert [path[-1] for _, path in itertools.islice(read, 3)] == ["0", "1", "2"]
    assert sum(1 for _ in read) == 39_997


def passwd(*tars: bytes) -> Passwd:
    return effective_passwd(facts_of(*tars))


def link(target: str, kind: str = "symlink") -> FileSpec:
    return FileSpec(kind=kind, target=target)


def test_the_topmost_passwd_is_the_effective_one() -> None:
    assert passwd(layer({"etc/passwd": "old"}), OTHER, layer({"etc/passwd": ROOT})).content == ROOT.encode()


@pytest.mark.parametrize(
    "above", [layer({}, whiteouts=["etc/passwd"]), layer({}, opaque=["etc"]), layer({}, whiteouts=["etc"])]
)
def test_a_deleted_passwd_is_absent(above: bytes) -> None:
    assert passwd(layer({"etc/passwd": ROOT}), above).state is PasswdState.ABSENT


def test_an_image_without_passwd_has_none() -> None:
    assert passwd(OTHER).state is PasswdState.ABSENT


@pytest.mark.parametrize("target", ["/usr/etc/passwd", "../usr/etc/passwd", "./../usr//etc/passwd"])
def test_links_to_a_passwd_elsewhere_are_followed(target: str) -> None:
    tar = layer({"usr/etc/passwd": ROOT, "etc/passwd": link(target)})
    assert passwd(tar, OTHER).content == ROOT.encode()


def test_hard_links_are_followed_from_the_root() -> None:
    assert passwd(layer({"a/passwd": ROOT, "etc/passwd": link("a/passwd", "hardlink")})).content == ROOT.encode()


UNRESOLVED = {
    "a link to what was not kept": layer({"srv/users": ROOT, "etc/passwd": link("/srv/users")}),
    "a link to itself": layer({"etc/passwd": link("passwd")}),
    "a linked directory": layer({"usr/etc/passwd": ROOT, "etc": link("usr/etc")}),
    "a directory": layer({"etc/passwd": FileSpec(kind="dir")}),
    "a device": layer({"etc/passwd": FileSpec(kind="fifo")}),
}


@pytest.mark.parametrize("name", UNRESOLVED)
def test_what_cannot_be_followed_is_unresolved_and_never_absent(name: str) -> None:
    assert passwd(layer({"etc/passwd": "old"}), UNRESOLVED[name]).state is PasswdState.UNRESOLVED


def test_an_unread_layer_leaves_the_passwd_unresolved() -> None:
    layers = [*facts_of(layer({"etc/passwd": ROOT})), LayerFacts(DESCRIPTOR, None, None)]
    assert effective_passwd(layers).state is PasswdState.UNRESOLVED
