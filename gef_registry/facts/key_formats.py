"""Whether bytes really are a private key: each format is decoded as far as it takes to be sure.

PKCS#1 and SEC 1 and PKCS#8 (RFC 8017, 5915, 5958) by their DER structure, OpenSSH (PROTOCOL.key) by its magic, PuTTY by
its header lines, OpenPGP secret key packets (RFC 4880, 9580) by their tags, age identities by their bech32 checksum.
Documentation that shows only the armour lines decodes to nothing and is no finding.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

_INTEGER, _OCTETS, _OID, _SEQUENCE = 0x02, 0x04, 0x06, 0x30
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]")
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_OPENSSH_MAGIC = b"openssh-key-v1\0"


@dataclass(frozen=True, slots=True)
class Key:
    """`rule` is the format's name, `decoded` what the armour held."""

    rule: str
    encrypted: bool
    decoded: bytes


def pem_key(label: str, body: bytes) -> Key | None:
    """The key between two armour lines; `label` is what stands before PRIVATE KEY, for example `RSA`."""
    lines = [line.strip(b" \t\"',;\\") for line in body.replace(b"\\r", b"").replace(b"\\n", b"\n").split(b"\n")]
    headers = b"\n".join(line for line in lines if b":" in line)
    decoded = _base64(b"".join(line for line in lines if b":" not in line))
    if decoded is None or len(decoded) < 16:
        return None
    if b"ENCRYPTED" in headers and label != "ENCRYPTED":
        return Key(_rule(label), True, decoded) if len(decoded) % 8 == 0 else None
    if label == "OPENSSH":
        return _openssh(decoded)
    tags = _der_tags(decoded)
    match label:
        case "ENCRYPTED" if tags[:2] == [_SEQUENCE, _OCTETS]:
            return Key("pkcs8", True, decoded)
        case "" if tags[:3] == [_INTEGER, _SEQUENCE, _OCTETS]:
            return Key("pkcs8", False, decoded)
        case "RSA" if tags[:9] == [_INTEGER] * 9:
            return Key("pkcs1", False, decoded)
        case "DSA" if tags == [_INTEGER] * 6:
            return Key("dsa", False, decoded)
        case "EC" if tags[:2] == [_INTEGER, _OCTETS]:
            return Key("sec1", False, decoded)
    if tags[:3] == [_INTEGER, _SEQUENCE, _OCTETS] or tags[:9] == [_INTEGER] * 9:
        return Key(_rule(label), False, decoded)  # mislabelled, as some tools accept
    return None


def openpgp_key(body: bytes) -> Key | None:
    """An armoured OpenPGP secret key (the armour's headers and checksum line are skipped)."""
    lines = [line.strip() for line in body.replace(b"\\r", b"").replace(b"\\n", b"\n").split(b"\n")]
    kept = b"".join(line for line in lines if b":" not in line and not line.startswith(b"="))
    decoded = _base64(kept[: len(kept) & ~3])
    if not decoded or not decoded[0] & 0x80:
        return None
    packet = _openpgp_packet(decoded)
    if packet is None:
        return None
    tag, content = packet
    if tag not in (5, 7) or not content or content[0] not in (3, 4, 5, 6):
        return None
    return Key("openpgp", _openpgp_encrypted(content), decoded)


def putty_key(text: bytes) -> Key | None:
    """A PuTTY private key file, from its first line on."""
    head = text[:65536].replace(b"\r\n", b"\n")
    encryption = re.search(rb"\nEncryption: *([a-z0-9-]{1,32})", head)
    private = re.search(rb"\nPrivate-Lines: *([0-9]{1,4})\n([A-Za-z0-9+/=\n]{16,})", head)
    if encryption is None or private is None:
        return None
    count = int(private[1])
    decoded = _base64(b"".join(private[2].split(b"\n")[:count]))
    return Key("putty", encryption[1] != b"none", decoded) if decoded else None


def age_key(text: bytes) -> Key | None:
    """An age identity: `AGE-SECRET-KEY-1` and 58 characters with a valid bech32 checksum (BIP 173)."""
    match = re.match(rb"AGE-SECRET-KEY-1([02-9AC-HJ-NP-Z]{58})(?![0-9A-Z])", text)
    if match is None:
        return None
    data = [_BECH32.index(c) for c in match[1].decode().lower()]
    prefix = "age-secret-key-"
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    return Key("age", False, match[0]) if _polymod(expanded + data) == 1 else None


def _rule(label: str) -> str:
    return {"": "pkcs8", "RSA": "pkcs1", "EC": "sec1", "DSA": "dsa", "OPENSSH": "openssh"}.get(label, "pem")


def _base64(text: bytes) -> bytes | None:
    text = _NOT_BASE64.sub(b"", text) if _only_spaces_between(text) else b"!"
    try:
        return base64.b64decode(text, validate=True) or None
    except binascii.Error:
        return None


def _only_spaces_between(text: bytes) -> bool:
    return not _NOT_BASE64.search(re.sub(rb"[ \t\r]", b"", text))


def _der_tags(data: bytes) -> list[int]:
    """The tags inside one outer SEQUENCE that is exactly as long as the data; empty when it is not DER."""
    outer = _der_item(data, 0)
    if outer is None or outer[0] != _SEQUENCE or outer[2] != len(data):
        return []
    tags: list[int] = []
    position = outer[1]
    while position < len(data) and len(tags) < 16:
        item = _der_item(data, position)
        if item is None or item[2] > len(data):
            return []
        tags.append(item[0])
        position = item[2]
    return tags


def _der_item(data: bytes, position: int) -> tuple[int, int, int] | None:
    """(tag, start of content, end of content) of the item at a position."""
    if position + 2 > len(data):
        return None
    tag, length, start = data[position], data[position + 1], position + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or start + count > len(data):
            return None
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    return tag, start, start + length


def _openssh(decoded: bytes) -> Key | None:
    if not decoded.startswith(_OPENSSH_MAGIC):
        return None
    start = len(_OPENSSH_MAGIC) + 4
    length = int.from_bytes(decoded[start - 4 : start], "big")
    cipher = decoded[start : start + length]
    if not 1 <= length <= 64 or len(cipher) != length:
        return None
    return Key("openssh", cipher != b"none", decoded)


def _openpgp_packet(data: bytes) -> tuple[int, bytes] | None:
    """Tag and content of the first packet (RFC 9580 section 4.2)."""
    first = data[0]
    if first & 0x40:
        tag, position = first & 0x3F, 2
        if len(data) > 1 and 192 <= data[1] < 224:
            position = 3
        elif len(data) > 1 and data[1] == 255:
            position = 6
    else:
        tag, position = (first >> 2) & 0x0F, {0: 2, 1: 3, 2: 5, 3: 1}[first & 3]
    return (tag, data[position:]) if len(data) > position else None


def _openpgp_encrypted(content: bytes) -> bool:
    """Whether the secret part is protected; what cannot be told counts as not protected."""
    version, position = content[0], 5
    if version == 3:
        position = 7
    if len(content) <= position:
        return False
    algorithm = content[position]
    position += 1
    if version in (5, 6):
        position += 4
    if algorithm in (25, 26, 27, 28):
        position += {25: 32, 26: 56, 27: 32, 28: 57}[algorithm]
    else:
        if algorithm in (18, 19, 22) and position < len(content):
            position += 1 + content[position]
        for _ in range({1: 2, 2: 2, 3: 2, 16: 3, 17: 4, 18: 1, 19: 1, 22: 1}.get(algorithm, 0)):
            bits = int.from_bytes(content[position : position + 2], "big")
            position += 2 + (bits + 7) // 8
        if algorithm == 18 and position < len(content):
            position += 1 + content[position]
    return position < len(content) and content[position] != 0


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            if top >> bit & 1:
                checksum ^= generator
    return checksum
