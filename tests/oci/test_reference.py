"""Names: distribution/reference's own table, property tests of its grammar, and the five transports."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.errors import BadInput
from gef_registry.oci.digest import Digest
from gef_registry.oci.reference import (
    DaemonImage,
    DockerArchiveImage,
    LayoutImage,
    Reference,
    RegistryImage,
    is_host,
    is_repository,
    parse_image_name,
)

F64, F128 = "f" * 64, "f" * 128

# reference_test.go and normalize_test.go of distribution/reference: text -> (host, repository, tag, digest)
VALID = {
    "test_com": ("docker.io", "library/test_com", None, None),
    "test.com:tag": ("docker.io", "library/test.com", "tag", None),
    "test.com:5000": ("docker.io", "library/test.com", "5000", None),
    "test.com/repo:tag": ("test.com", "repo", "tag", None),
    "test.com:5000/repo": ("test.com:5000", "repo", None, None),
    "test.com:5000/repo:tag": ("test.com:5000", "repo", "tag", None),
    f"test:5000/repo@sha256:{F64}": ("test:5000", "repo", None, f"sha256:{F64}"),
    f"test:5000/repo:tag@sha256:{F64}": ("test:5000", "repo", "tag", f"sha256:{F64}"),
    "test:5000/repo": ("test:5000", "repo", None, None),
    "lowercase:Uppercase": ("docker.io", "library/lowercase", "Uppercase", None),
    "sub-dom1.foo.com/bar/baz/quux": ("sub-dom1.foo.com", "bar/baz/quux", None, None),
    "sub-dom1.foo.com/bar/baz/quux:some-long-tag": ("sub-dom1.foo.com", "bar/baz/quux", "some-long-tag", None),
    "b.gcr.io/test.example.com/my-app:test.example.com": (
        "b.gcr.io", "test.example.com/my-app", "test.example.com", None,
    ),
    "xn--n3h.com/myimage:xn--n3h.com": ("xn--n3h.com", "myimage", "xn--n3h.com", None),
    f"xn--7o8h.com/myimage:xn--7o8h.com@sha512:{F128}": ("xn--7o8h.com", "myimage", "xn--7o8h.com", f"sha512:{F128}"),
    "foo_bar.com:8080": ("docker.io", "library/foo_bar.com", "8080", None),
    "foo/foo_bar.com:8080": ("docker.io", "foo/foo_bar.com", "8080", None),
    "192.168.1.1:tag": ("docker.io", "library/192.168.1.1", "tag", None),
    "192.168.1.1/repo": ("192.168.1.1", "repo", None, None),
    "192.168.1.1:5000/repo:5050": ("192.168.1.1:5000", "repo", "5050", None),
    "[2001:db8::1]/repo": ("[2001:db8::1]", "repo", None, None),
    "[2001:db8:1:2:3:4:5:6]/repo:tag": ("[2001:db8:1:2:3:4:5:6]", "repo", "tag", None),
    "[2001:db8::1]:5000/repo:tag": ("[2001:db8::1]:5000", "repo", "tag", None),
    "[::1]:5000/repo": ("[::1]:5000", "repo", None, None),
    "localhost/app": ("localhost", "app", None, None),
    "Host/app": ("Host", "app", None, None),
    "docker.io/alpine": ("docker.io", "library/alpine", None, None),
    "index.docker.io/alpine": ("docker.io", "library/alpine", None, None),
    "a/b__c/d-e---f.g": ("docker.io", "a/b__c/d-e---f.g", None, None),
}  # fmt: skip

INVALID = [
    "", ":justtag", f"@sha256:{F64}", "repo@sha256:" + "f" * 34, f"validname@invaliddigest:{F128}", "Uppercase:tag",
    "test:5000/Uppercase/lowercase:tag", "aa/asdf$$^/aa", "[2001:db8::1]", "[2001:db8::1]:5000",
    "[fe80::1%eth0]:5000/repo", "[fe80::1%@invalidzone]:5000/repo", "a//b", "/a", "a/", "a--_b", "a..b", "-a/b", "a___b",
    "example.org:0/a", "example.org:65536/a", "example.org:999999/a", "[::::]/a", "repo:" + "t" * 129, "repo:.dot", "repo:",
    "example.org/" + "a" * 256, "https://example.org/a", "a b", "a\n", "repo:tag\n", F64, "-host.org/a", "h..org/a",
    f"repo@SHA256:{F64}", f"repo@sha256:{F64.upper()}", "répo", "ｆullwidth",
]  # fmt: skip


@pytest.mark.parametrize("text", VALID)
def test_a_name_that_docker_accepts_is_read_as_docker_reads_it(text: str) -> None:
    found = Reference.parse(text)
    digest = str(found.digest) if found.digest else None
    assert (found.host, found.repository, found.tag, digest) == VALID[text]


@pytest.mark.parametrize("text", INVALID)
def test_a_name_that_docker_refuses_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        Reference.parse(text)


_alnum = st.text("abcxyz019", min_size=1, max_size=6)
_separator = st.sampled_from([".", "_", "__", "-", "--", "----"])
_component = st.lists(st.tuples(_alnum, _separator), max_size=3).flatmap(
    lambda parts: _alnum.map(lambda last: "".join(a + s for a, s in parts) + last)
)
_label = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,6}[a-zA-Z0-9])?", fullmatch=True)
_host = st.one_of(
    st.lists(_label, min_size=2, max_size=3).map(".".join),
    st.just("localhost"),
    st.ip_addresses(v=6).map(lambda a: f"[{a}]"),
    st.ip_addresses(v=4).map(str),
)
_port = st.none() | st.integers(1, 65535)
_tag = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
_digest = st.binary(max_size=4).map(Digest.of)


@given(_host, _port, st.lists(_component, min_size=1, max_size=4), st.none() | _tag, st.none() | _digest)
@settings(max_examples=60)
def test_what_the_grammar_generates_is_read_and_written_back(
    host: str, port: int | None, components: list[str], tag: str | None, digest: Digest | None
) -> None:
    where = f"{host}:{port}" if port else host
    found = Reference.parse(f"{where}/{'/'.join(components)}{':' + tag if tag else ''}{f'@{digest}' if digest else ''}")
    assert (found.host, found.repository, found.tag, found.digest) == (where, "/".join(components), tag, digest)
    assert Reference.parse(str(found)) == found
    assert found.target == (str(digest) if digest else tag or "latest")


@given(st.text(max_size=60) | st.text("a:/@.-_[]A0 \n%", max_size=30))
@settings(max_examples=120)
def test_any_text_is_a_name_that_reads_back_or_bad_input(text: str) -> None:
    try:
        found = Reference.parse(text)
    except BadInput:
        return
    assert Reference.parse(str(found)) == found
    assert is_host(found.host)
    assert is_repository(found.repository)


def test_pinning_keeps_the_tag_and_asks_for_the_digest() -> None:
    digest = Digest.of(b"x")
    assert Reference.parse("example.org/a:1").at(digest).target == str(digest)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("docker://example.org/a:1", RegistryImage(Reference("example.org", "a", "1"))),
        ("example.org/a:1", RegistryImage(Reference("example.org", "a", "1"))),
        ("oci:dir", LayoutImage("dir")),
        ("oci:/data/dir:1.0", LayoutImage("/data/dir", tag="1.0")),
        ("oci:dir:docker.io/library/a:1", LayoutImage("dir", tag="docker.io/library/a:1")),
        (f"oci:dir@sha256:{F64}", LayoutImage("dir", digest=Digest("sha256", F64))),
        ("oci:/home/me@work/dir:1", LayoutImage("/home/me@work/dir", tag="1")),
        ("oci-archive:a.tar:1", LayoutImage("a.tar", tag="1", archive=True)),
        ("docker-archive:a.tar", DockerArchiveImage("a.tar")),
        ("docker-archive:a.tar:example/a:1", DockerArchiveImage("a.tar", "example/a:1")),
        ("docker-daemon:example/a:1", DaemonImage("example/a:1")),
    ],
)
def test_each_transport_is_read_as_skopeo_names_it(text: str, expected: object) -> None:
    found = parse_image_name(text)
    assert found == expected
    assert parse_image_name(str(found)) == found


@pytest.mark.parametrize(
    "text", ["", "oci:", "oci-archive:", "docker-archive:", "docker-daemon:", "ftp://a/b", "a\x00b", "oci:d@sha256:12"]
)
def test_a_transport_without_a_name_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(BadInput):
        parse_image_name(text)
