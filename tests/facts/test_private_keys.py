"""Private keys are found wherever they stand, whole or cut by chunks, and only when they really are keys."""

from __future__ import annotations

import base64
import itertools
import json
from functools import cache

import pytest
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.facts.limits import Budget, Limits, Refusal
from gef_registry.facts.model import KeySighting, ProblemKind
from gef_registry.facts.private_keys import KeyScanner, find_keys
from gef_registry.facts.tar import TarWalker
from tests.parts.tars import FileSpec, layer, raw_tar

PLAIN = s.NoEncryption()
LOCKED = s.BestAvailableEncryption(b"a passphrase of the tests")


def bech32(data: bytes) -> str:
    letters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    prefix = "age-secret-key-"
    bits = int.from_bytes(data, "big") << (-len(data) * 8 % 5)
    count = -(-len(data) * 8 // 5)
    values = [bits >> (5 * (count - 1 - n)) & 31 for n in range(count)]
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    check = 1
    for value in [*expanded, *values, 0, 0, 0, 0, 0, 0]:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> bit & 1 else 0
    check ^= 1
    values += [check >> 5 * (5 - n) & 31 for n in range(6)]
    return (prefix + "1" + "".join(letters[v] for v in values)).upper()


def openpgp(*, protected: bool) -> bytes:
    mpi = (256).to_bytes(2, "big") + b"\x91" * 32
    exponent = (17).to_bytes(2, "big") + b"\x01\x00\x01"
    content = b"\x04" + bytes(4) + b"\x01" + mpi + exponent + (b"\xfe\x07" if protected else b"\x00") + b"\x55" * 40
    packet = bytes((0xC0 | 5, len(content))) + content
    body = base64.b64encode(packet).decode()
    return f"-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: x\n\n{body}\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----\n".encode()


def putty(encryption: str) -> bytes:
    line = base64.b64encode(b"k" * 48).decode()
    return (
        f"PuTTY-User-Key-File-3: ssh-ed25519\r\nEncryption: {encryption}\r\nComment: x\r\nPublic-Lines: 1\r\n{line}\r\n"
        f"Private-Lines: 1\r\n{line}\r\nPrivate-MAC: 00\r\n"
    ).encode()


@cache
def keys() -> dict[str, tuple[bytes, str, bool]]:
    """Name -> file, rule, encrypted."""
    big = rsa.generate_private_key(65537, 1024)  # small: the tests want its form
    curve = ec.generate_private_key(ec.SECP256R1())
    edwards = ed25519.Ed25519PrivateKey.generate()
    pem = s.Encoding.PEM
    traditional, pkcs8, openssh = s.PrivateFormat.TraditionalOpenSSL, s.PrivateFormat.PKCS8, s.PrivateFormat.OpenSSH
    return {
        "pkcs1": (big.private_bytes(pem, traditional, PLAIN), "pkcs1", False),
        "pkcs1 with a passphrase": (big.private_bytes(pem, traditional, LOCKED), "pkcs1", True),
        "pkcs8": (big.private_bytes(pem, pkcs8, PLAIN), "pkcs8", False),
        "pkcs8 ed25519": (edwards.private_bytes(pem, pkcs8, PLAIN), "pkcs8", False),
        "pkcs8 with a passphrase": (big.private_bytes(pem, pkcs8, LOCKED), "pkcs8", True),
        "sec1": (curve.private_bytes(pem, traditional, PLAIN), "sec1", False),
        "openssh": (edwards.private_bytes(pem, openssh, PLAIN), "openssh", False),
        "putty": (putty("none"), "putty", False),
        "putty with a passphrase": (putty("aes256-cbc"), "putty", True),
        "openpgp": (openpgp(protected=False), "openpgp", False),
        "openpgp with a passphrase": (openpgp(protected=True), "openpgp", True),
        "age": (f"# created\n{bech32(bytes(range(32)))}\n".encode(), "age", False),
    }


KEY_NAMES = (
    "pkcs1", "pkcs1 with a passphrase", "pkcs8", "pkcs8 ed25519", "pkcs8 with a passphrase", "sec1", "openssh", "putty",
    "putty with a passphrase", "openpgp", "openpgp with a passphrase", "age",
)  # fmt: skip


def scan(data: bytes, cuts: list[int], limits: Limits | None = None) -> tuple[KeySighting, ...]:
    walker, scanner = TarWalker(Budget(limits or Limits())), KeyScanner(limits or Limits())
    edges = [0, *sorted(cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        walker.feed(data[start:end])
        scanner.feed(data[start:end], walker.spans)
    walker.finish()
    return scanner.finish(walker.spans)


@pytest.mark.parametrize("name", KEY_NAMES)
def test_every_format_is_recognised_with_its_place(name: str) -> None:
    content, rule, encrypted = keys()[name]
    data = layer({"a/first": b"x" * 999, "root/key.bin": b"\0\xff" * 50 + content, "z": b"y"})
    (found,) = scan(data, [])
    assert (found.rule, found.encrypted, found.path) == (rule, encrypted, "root/key.bin")
    marker = next(m for m in (b"-----BEGIN", b"PuTTY", b"AGE-SECRET") if m in content)
    assert found.offset == 100 + content.index(marker)


@pytest.mark.parametrize("name", KEY_NAMES)
def test_a_key_in_words_is_recognised(name: str) -> None:
    content, rule, _ = keys()[name]
    assert [k.rule for k in find_keys("before " + content.decode() + " after")] == [rule]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 20000), max_size=12), st.sampled_from(KEY_NAMES))
def test_chunk_boundaries_change_nothing(cuts: list[int], name: str) -> None:
    content = keys()[name][0]
    data = layer({"filler": b"PRIVATE KEY" * 500, "k/one": content, "k/two": b"#" * 511 + content})
    whole = scan(data, [])
    assert [key.path for key in whole] == ["k/one", "k/two"]
    assert scan(data, [cut for cut in cuts if cut < len(data)]) == whole


def test_a_key_that_is_split_into_single_bytes_is_found() -> None:
    data = raw_tar([("k", FileSpec(keys()["pkcs8 ed25519"][0]))])
    assert len(scan(data, list(range(1, len(data))))) == 1


def test_a_key_escaped_in_json_is_found() -> None:
    document = json.dumps({"type": "service_account", "private_key": keys()["pkcs8"][0].decode()})
    (found,) = find_keys(document)
    assert found.rule == "pkcs8"


def test_an_indented_key_in_yaml_is_found() -> None:
    text = "key: |\n" + "".join(f"    {line}\n" for line in keys()["sec1"][0].decode().splitlines())
    assert [key.rule for key in find_keys(text)] == ["sec1"]


def test_keys_outside_of_files_have_no_path() -> None:
    info = raw_tar([("x", FileSpec(b"1", xattrs={"user.note": keys()["pkcs8 ed25519"][0].decode()}))])
    (found,) = scan(info, [])
    assert found.path is None


NOT_KEYS = {
    "documentation": "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA...\n-----END RSA PRIVATE KEY-----\n",
    "code": 'if line == "-----BEGIN PRIVATE KEY-----": start = "-----END PRIVATE KEY-----"',
    "base64 that is no DER": "-----BEGIN PRIVATE KEY-----\n" + base64.b64encode(b"hello world, hello").decode()
    + "\n-----END PRIVATE KEY-----",
    "a public key": "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----",
    "an age identity with a typing error": "AGE-SECRET-KEY-1" + "Q" * 58,
    "a PuTTY header": "PuTTY-User-Key-File-2: ssh-rsa\nEncryption: none\n",
    "words": "THE PRIVATE KEY IS SECRET",
    "an unfinished armour": "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_KEYS)
def test_what_does_not_decode_is_no_key(name: str) -> None:
    assert find_keys(NOT_KEYS[name]) == ()


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damaged_keys_never_crash_the_scanner(data: st.DataObject) -> None:
    content = bytearray(keys()[data.draw(st.sampled_from(KEY_NAMES))][0])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    find_keys(bytes(content[: data.draw(st.integers(0, len(content)))]).decode("latin-1"))


def test_a_storm_of_beginnings_meets_a_bound() -> None:
    storm = b"-----BEGIN PRIVATE KEY-----" * 400
    with pytest.raises(Refusal) as caught:
        scan(raw_tar([("storm", FileSpec(storm))]), [], Limits(key_markers=300))
    assert caught.value.kind is ProblemKind.LIMIT_EXCEEDED


def test_nothing_that_is_kept_of_a_key_is_its_content() -> None:
    content = keys()["pkcs1"][0]
    (found,) = scan(layer({"k": content}), [])
    assert not any(line in repr(found) for line in content.decode().splitlines()[1:-1])
