"""How a gate starts: whom it may serve, its first administrator, its certificate."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gef_registry.admission.rights import Role
from gef_registry.errors import BadInput, NotFound, Unavailable
from gef_registry.processes import serve
from gef_registry.processes.serve import ServeConfig, check_listening, first_administrator
from gef_registry.wiring.gate import Gate, GateConfig
from gef_registry.wiring.policies import load_named_policy


@pytest.mark.parametrize(
    ("host", "tls", "behind_proxy", "policy_named", "public_url", "refused"),
    [
        ("127.0.0.1", False, False, False, None, None),
        ("localhost", False, False, False, None, None),
        ("::1", False, False, False, None, None),
        ("127.0.0.1", False, False, False, "http://localhost:5000", None),
        ("0.0.0.0", False, False, True, None, "no TLS"),
        ("gate.example.org", False, False, True, None, "no TLS"),
        ("0.0.0.0", True, False, False, None, "named policy"),
        ("0.0.0.0", True, False, True, None, None),
        ("0.0.0.0", False, True, True, None, None),
        ("127.0.0.1", False, True, False, None, "named policy"),
        ("127.0.0.1", False, True, True, "https://gate.example.org", None),
        ("127.0.0.1", False, False, False, "https://gate.example.org", "named policy"),
    ],
)
def test_strangers_are_served_with_tls_and_a_named_policy_only(
    host: str, tls: bool, behind_proxy: bool, policy_named: bool, public_url: str | None, refused: str | None
) -> None:
    def check() -> None:
        check_listening(host, tls=tls, behind_proxy=behind_proxy, policy_named=policy_named, public_url=public_url)

    if refused is None:
        check()
    else:
        with pytest.raises(BadInput, match=refused):
            check()


def config(directory: Path) -> GateConfig:
    return GateConfig(data=directory, policy=load_named_policy("development"))


async def test_the_first_start_makes_one_administrator_whose_token_only_the_owner_reads(tmp_path: Path) -> None:
    async with await Gate.open(config(tmp_path / "gate")) as gate:
        token = await first_administrator(gate)
        path = tmp_path / "gate" / "admin-token"
        assert path.read_text().strip() == token
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert token is not None
        owner = await gate.accounts.owner(token, kinds=("api",))
        assert owner is not None and owner.role is Role.ADMIN
        assert await first_administrator(gate) is None


async def test_a_crash_before_the_account_leaves_a_start_that_makes_it(tmp_path: Path) -> None:
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "admin-token").write_text("gefa_of-a-start-that-died\n")
    async with await Gate.open(config(tmp_path / "gate")) as gate:
        token = await first_administrator(gate)
        assert token == (tmp_path / "gate" / "admin-token").read_text().strip()


async def test_a_taken_name_does_not_stop_the_start(tmp_path: Path) -> None:
    async with await Gate.open(config(tmp_path / "gate")) as gate:
        await gate.accounts.add("admin", Role.OPERATOR)
        assert await first_administrator(gate) is None


async def test_a_second_gate_on_the_same_data_is_refused_before_it_touches_anything(tmp_path: Path) -> None:
    async with await Gate.open(config(tmp_path / "gate")):
        with pytest.raises(Unavailable, match="another gate is running"):
            await Gate.open(config(tmp_path / "gate"))


async def test_p2_an_empty_database_beside_a_log_with_entries_is_not_taken_for_a_new_gate(tmp_path: Path) -> None:
    from gef_registry.transparency.sequencer import Entry

    async with await Gate.open(config(tmp_path / "gate")) as gate:
        await gate.sequencer.append([Entry(b"leaf", b"statement", "0" * 64)])
    for path in (tmp_path / "gate").glob("gate.db*"):
        path.unlink()
    with pytest.raises(Unavailable, match="the log beside it has entries"):
        await Gate.open(config(tmp_path / "gate"))


def certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """A self-signed pair for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    cert, private = directory / f"{name}.crt", directory / f"{name}.key"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert, private


async def served_name(port: int) -> str:
    """The common name of the certificate that is served now."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value


async def test_a_renewed_certificate_is_taken_and_half_a_renewal_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serve, "CERTIFICATE_CHECK_S", 0.01)
    cert, key = certificate(tmp_path, "old")
    other_cert, other_key = certificate(tmp_path, "new")
    settings = ServeConfig(config(tmp_path / "gate"), "127.0.0.1", 0, cert, key)
    context = serve._tls(settings)

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    assert context is not None
    reloading = asyncio.create_task(serve._reload_certificate(context, settings))
    try:
        assert await served_name(port) == "old"
        await asyncio.sleep(0.05)
        cert.write_bytes(other_cert.read_bytes())  # the key is still the old one
        async with asyncio.timeout(10):
            while "cannot be used" not in caplog.text:
                await asyncio.sleep(0.01)
        assert await served_name(port) == "old"
        caplog.set_level("INFO")
        key.write_bytes(other_key.read_bytes())
        async with asyncio.timeout(10):
            while await served_name(port) != "new":
                await asyncio.sleep(0.01)
    finally:
        reloading.cancel()
        server.close()


def test_a_missing_or_broken_certificate_is_named(tmp_path: Path) -> None:
    settings = ServeConfig(config(tmp_path), "127.0.0.1", 0, tmp_path / "none.crt", tmp_path / "none.key")
    with pytest.raises(NotFound, match=r"none\.crt"):
        serve._tls(settings)
    broken = tmp_path / "broken.crt"
    broken.write_text("not a certificate")
    with pytest.raises(BadInput, match=r"broken\.crt"):
        serve._tls(ServeConfig(config(tmp_path), "127.0.0.1", 0, broken, broken))
