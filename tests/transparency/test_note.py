"""Signed notes, checkpoints, cosignatures: the published vector, and everything that must be refused."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.errors import BadInput, VerificationFailed
from gef_registry.transparency.merkle import EMPTY_ROOT, leaf_hash
from gef_registry.transparency.note import (
    Checkpoint,
    CosignatureSigner,
    CosignatureVerifier,
    NoteSigner,
    NoteVerifier,
    open_checkpoint,
    open_note,
    parse_checkpoint,
    parse_vkey,
)

# The vector of golang.org/x/mod/sumdb/note, the reference implementation of the format.
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
LINE = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
NOTE = TEXT + "\n" + LINE
PETER = parse_vkey(VKEY)

# The example of c2sp.org/tlog-cosignature (its keys are not published).
COSIGNED = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)

LOG = NoteSigner("log.example", Ed25519PrivateKey.from_private_bytes(b"l" * 32))
WITNESS = CosignatureSigner("witness.example", Ed25519PrivateKey.from_private_bytes(b"w" * 32))
CHECKPOINT = Checkpoint("log.example", 1, leaf_hash(b""))
SIGNED = f"{CHECKPOINT.text}\n{LOG.sign(CHECKPOINT.text)}{WITNESS.sign(CHECKPOINT.text, 1_700_000_000)}"


def signer(number: int) -> NoteSigner:
    return NoteSigner(f"key{number}", Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


def test_the_published_note_opens_and_is_signed_to_the_same_bytes() -> None:
    note = open_note(NOTE, [PETER])
    assert note.text == TEXT
    assert [s.name for s in note.verified] == ["PeterNeumann"]
    assert NoteSigner("PeterNeumann", Ed25519PrivateKey.from_private_bytes(SEED)).sign(TEXT) == LINE


@settings(max_examples=80, deadline=None)
@given(st.integers(0, len(NOTE.encode()) - 1), st.integers(1, 255))
def test_a_note_with_any_byte_changed_is_refused(position: int, difference: int) -> None:
    data = bytearray(NOTE.encode())
    data[position] ^= difference
    with pytest.raises(VerificationFailed):
        open_note(bytes(data), [PETER])


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet="—a \n+=B/\x00é", max_size=30).map(lambda s: NOTE + s))
def test_any_other_text_is_refused_and_nothing_crashes(note: str | bytes) -> None:
    if note != NOTE:
        with pytest.raises(VerificationFailed):
            open_note(note, [PETER])


@pytest.mark.parametrize(
    "note",
    [
        TEXT, NOTE[:-1], NOTE + "\n", TEXT + LINE, NOTE.replace("\n\n", "\n\n\n"), NOTE.replace("— ", "- "),
        NOTE.replace("— Peter", "—  Peter"), NOTE.replace(" x08", "  x08"), NOTE.replace("M=\n", "M\n"),
        NOTE.replace("AM=\n", "AN=\n"), NOTE + "— other AAAA\n", NOTE + "— other\n", NOTE + "— o+r AAAAAAAA\n",
        NOTE.replace("If", "If\r"), NOTE.replace("\n", "\r\n"), "\udc80" + NOTE, b"\xff" + NOTE.encode(),
        NOTE + "— other AAAAAAAA\n" * 100, "x" * 1_000_001, NOTE + "\n" + "— other AAAAAAAA\n", "\n\n",
    ],
)  # fmt: skip
def test_a_malformed_note_is_refused(note: str | bytes) -> None:
    with pytest.raises(VerificationFailed):
        open_note(note, [PETER])


def test_the_text_ends_at_the_last_blank_line() -> None:
    text = "first\n\nsecond\n\n\nthird\n"
    assert open_note(f"{text}\n{LOG.sign(text)}", [LOG.verifier]).text == text


def test_unknown_keys_are_ignored_also_with_a_known_name_or_a_known_id() -> None:
    same_name = NoteSigner("PeterNeumann", Ed25519PrivateKey.from_private_bytes(b"x" * 32)).sign(TEXT)
    same_id = LINE.replace("PeterNeumann", "Somebody")
    note = open_note(TEXT + "\n" + same_name + same_id + LINE, [PETER])
    assert len(note.verified) == 1
    assert len(note.unknown) == 2
    with pytest.raises(VerificationFailed, match="no signature of a known key"):
        open_note(TEXT + "\n" + same_name + same_id, [PETER])


def test_a_known_key_that_fails_refuses_the_whole_note() -> None:
    bad = LOG.sign("another text\n")
    for lines in (LINE + bad, bad + LINE):
        assert open_note(TEXT + "\n" + lines, [PETER]).text == TEXT
        with pytest.raises(VerificationFailed, match=r"log\.example"):
            open_note(TEXT + "\n" + lines, [PETER, LOG.verifier])


def test_a_note_with_a_hundred_signatures_opens() -> None:
    signers = [signer(n) for n in range(100)]
    note = open_note(TEXT + "\n" + "".join(s.sign(TEXT) for s in signers), [s.verifier for s in signers])
    assert len(note.verified) == 100


def test_two_verifiers_of_one_identity_are_a_mistake() -> None:
    with pytest.raises(BadInput):
        open_note(NOTE, [PETER, PETER])


def test_a_verifier_key_comes_back_as_it_was_written() -> None:
    assert PETER.vkey == VKEY
    for verifier in (LOG.verifier, WITNESS.verifier):
        assert parse_vkey(verifier.vkey) == verifier
    assert isinstance(parse_vkey(WITNESS.verifier.vkey), CosignatureVerifier)


@settings(max_examples=100)
@given(st.integers(0, len(VKEY) - 1), st.characters(codec="utf-8"))
def test_a_verifier_key_with_any_character_changed_is_refused(position: int, character: str) -> None:
    changed = VKEY[:position] + character + VKEY[position + 1 :]
    if changed != VKEY:
        with pytest.raises(BadInput):
            parse_vkey(changed)


@pytest.mark.parametrize(
    "vkey",
    [
        "", "+", "++", VKEY + "A", VKEY[:-4], "PeterNeumann+C74F20A3" + VKEY[21:],
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ],
)  # fmt: skip
def test_a_malformed_verifier_key_is_refused(vkey: str) -> None:
    with pytest.raises(BadInput):
        parse_vkey(vkey)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb", "a\x01b"])
def test_a_key_name_has_no_spaces_and_no_plus(name: str) -> None:
    with pytest.raises(BadInput):
        NoteVerifier(name, bytes(32))


@pytest.mark.parametrize("text", ["", "no newline", "tab\there\n"])
def test_only_a_note_text_is_signed(text: str) -> None:
    with pytest.raises(BadInput):
        LOG.sign(text)
    with pytest.raises(BadInput):
        WITNESS.sign(text, 1)


def test_the_checkpoint_of_the_specification_parses() -> None:
    parsed = parse_checkpoint(COSIGNED.partition("\n\n")[0] + "\n")
    assert (parsed.origin, parsed.size) == ("example.com/behind-the-sofa", 20852163)
    assert COSIGNED.startswith(parsed.text + "\n")
    with pytest.raises(VerificationFailed, match="no signature of a known key"):
        open_note(COSIGNED, [LOG.verifier])


@given(st.integers(0, 2**62), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_comes_back_as_it_was_written(size: int, root: bytes) -> None:
    checkpoint = Checkpoint("log.example", size, root, ("extension",))
    assert parse_checkpoint(checkpoint.text) == checkpoint


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n1\n", "\n01\n"), ("\n1\n", "\n-1\n"), ("\n1\n", "\n+1\n"), ("\n1\n", "\n\n"), ("\n1\n", "\n١\n"),
        ("\n1\n", "\n9223372036854775808\n"), ("\n1\n", "\n" + "9" * 5000 + "\n"), ("\n1\n", "\n 1\n"), ("=\n", "\n"),
        ("=\n", "=\n\n"), ("=\n", "="), ("log.example", ""), ("\n1\n", "\n1\nAAAA\n"), ("\n1\n", "\n1_0\n"),
    ],
)  # fmt: skip
def test_a_malformed_checkpoint_is_refused(old: str, new: str) -> None:
    with pytest.raises(VerificationFailed):
        parse_checkpoint(CHECKPOINT.text.replace(old, new, 1))


def test_a_cosigned_checkpoint_tells_who_vouched_when() -> None:
    signed = open_checkpoint(SIGNED, "log.example", LOG.verifier, [WITNESS.verifier])
    assert signed.checkpoint == CHECKPOINT
    assert signed.cosigned == (("witness.example", 1_700_000_000),)
    assert signed.cosigned_at == 1_700_000_000
    assert open_checkpoint(SIGNED, "log.example", LOG.verifier).cosigned_at is None


def test_a_cosignature_with_another_time_refuses_the_note() -> None:
    line = WITNESS.sign(CHECKPOINT.text, 1_700_000_000)
    body = bytearray(base64.b64decode(line.split(" ")[2]))
    body[11] ^= 1
    forged = SIGNED.replace(line.split(" ")[2].strip(), base64.b64encode(body).decode())
    with pytest.raises(VerificationFailed, match=r"witness\.example"):
        open_checkpoint(forged, "log.example", LOG.verifier, [WITNESS.verifier])


def test_a_time_beyond_the_format_is_neither_signed_nor_accepted() -> None:
    for time in (-1, 2**63):
        with pytest.raises(BadInput):
            WITNESS.sign(CHECKPOINT.text, time)
    assert not WITNESS.verifier.verify(CHECKPOINT.text, b"\xff" * 72)
    assert not WITNESS.verifier.verify(CHECKPOINT.text, b"")


def test_a_cosignature_is_no_signature_of_the_log() -> None:
    alone = f"{CHECKPOINT.text}\n{WITNESS.sign(CHECKPOINT.text, 5)}"
    with pytest.raises(VerificationFailed, match="not signed by the log's key"):
        open_checkpoint(alone, "log.example", LOG.verifier, [WITNESS.verifier])


def test_another_origin_or_no_checkpoint_is_refused() -> None:
    with pytest.raises(VerificationFailed, match=r"expected 'other\.example'"):
        open_checkpoint(SIGNED, "other.example", LOG.verifier)
    with pytest.raises(VerificationFailed, match="three non-empty lines"):
        open_checkpoint(f"{TEXT}\n{LOG.sign(TEXT)}", "log.example", LOG.verifier)
    assert parse_checkpoint(Checkpoint("log.example", 0, EMPTY_ROOT).text).size == 0
