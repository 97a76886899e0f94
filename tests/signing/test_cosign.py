"""The published objects: deterministic, as specified, and accepted by the tools they are for."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from gef_registry.errors import BadInput
from gef_registry.oci import media
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor, Manifest, parse_manifest
from gef_registry.signing import cosign as objects
from gef_registry.signing.cosign import Artifact, Inclusion, Signature
from gef_registry.signing.keys import Purpose
from gef_registry.signing.leaf import dsse_leaf
from gef_registry.signing.statement import PREDICATE_TYPE, Admission
from gef_registry.transparency.merkle import Tree, inclusion_proof, leaf_hash
from gef_registry.transparency.note import Checkpoint
from tests.fakes.signer import NOW, ORIGIN, Signer, admission, digest
from tests.parts.process import Tool
from tests.parts.registry import DockerRegistry


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


def _bundle(signer: Signer, what: Admission, *, foreign_leaves: int = 5, spoil: bool = False) -> bytes:
    """The bundle of an admission at the end of a small log."""
    envelope = signer.sign(what)
    leaf = dsse_leaf(envelope, signer.keys[Purpose.ADMISSION].public)
    others = [signer.revocation(digest(str(n))).leaf for n in range(foreign_leaves)]
    tree = Tree(leaf_hash(one) for one in (*others, leaf, b'{"kind":"another"}'))
    checkpoint = Checkpoint(ORIGIN, tree.size, tree.root())
    note = checkpoint.text + "\n" + signer.log_signer.sign(checkpoint.text) + signer.cosigner.sign(checkpoint.text, NOW)
    hashes = inclusion_proof(foreign_leaves, tree.size, tree.read_hash)
    if spoil:
        hashes[0] = bytes(32)
    return objects.sigstore_bundle(
        envelope,
        leaf,
        Inclusion(foreign_leaves, tuple(hashes), note),
        key=signer.keys[Purpose.ADMISSION].public,
        log_key=signer.keys[Purpose.LOG].public,
        log_origin=ORIGIN,
    )


def _sig(signer: Signer, what: Admission) -> Artifact:
    payload = objects.simple_signing_payload(what.host, what.repository, what.digest)
    return objects.sig_artifact([Signature(payload, signer.keys[Purpose.ADMISSION].sign(payload))])


def test_a_signature_manifest_is_what_containers_image_demands(signer: Signer) -> None:
    what = admission()
    artifact = _sig(signer, what)
    manifest = parse_manifest(artifact.manifest, None)
    assert isinstance(manifest, Manifest)
    assert manifest.media_type == media.OCI_MANIFEST
    assert manifest.config.media_type == media.OCI_CONFIG
    assert [d.digest for d in manifest.references] == [Digest.of(blob) for blob in artifact.blobs]
    payload = artifact.blobs[1]
    signature = base64.b64decode(manifest.layers[0].annotations[objects.SIGNATURE_ANNOTATION])
    assert signer.keys[Purpose.ADMISSION].public.verifies(signature, payload)
    document = json.loads(payload)
    assert set(document) == {"critical", "optional"}
    assert document["critical"]["identity"] == {"docker-reference": f"{ORIGIN}/trusted/demo/image"}
    assert objects.sig_tag(what.digest) == f"sha256-{what.digest.hex}.sig"


def test_a_referrer_names_its_subject_and_is_the_same_bytes_each_time() -> None:
    subject = Descriptor(media.OCI_MANIFEST, digest("image"), 500, {"kept": "out"})
    artifact = objects.bundle_artifact(subject, b"{}", PREDICATE_TYPE, NOW)
    assert artifact == objects.bundle_artifact(subject, b"{}", PREDICATE_TYPE, NOW)
    manifest = parse_manifest(artifact.manifest, media.OCI_MANIFEST)
    assert manifest.subject == Descriptor(media.OCI_MANIFEST, digest("image"), 500)
    assert manifest.artifact_type == media.SIGSTORE_BUNDLE
    assert manifest.annotations["dev.sigstore.bundle.predicateType"] == PREDICATE_TYPE
    assert str(objects.EMPTY_DESCRIPTOR.digest).startswith("sha256:44136fa355b3678a")


@pytest.mark.parametrize("origin", ["", "host:5000", "host/log", "https://host"])
def test_a_trusted_root_is_not_made_for_an_origin_that_cosign_cannot_use(signer: Signer, origin: str) -> None:
    with pytest.raises(BadInput, match="bare host name"):
        objects.trusted_root(signer.keys[Purpose.LOG].public, origin, NOW)


# ---------------------------------------------------------------------- the real cosign and a real registry


def _put(url: str, body: bytes, kind: str, method: str = "PUT") -> None:
    with urlopen(Request(url, body, {"Content-Type": kind}, method=method)) as response:
        assert response.status == 201


def _push(registry: DockerRegistry, repository: str, artifact: Artifact, reference: str) -> None:
    for blob in artifact.blobs:
        start = Request(f"{registry.url}/v2/{repository}/blobs/uploads/", b"", method="POST")
        with urlopen(start) as response:
            location = response.headers["Location"]
        _put(f"{location}&digest={Digest.of(blob)}", blob, "application/octet-stream")
    _put(f"{registry.url}/v2/{repository}/manifests/{reference}", artifact.manifest, artifact.media_type)


def _push_image(registry: DockerRegistry, repository: str) -> Descriptor:
    config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
    manifest = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "config": Descriptor(media.OCI_CONFIG, Digest.of(config), len(config)).as_json(),
        "layers": [],
    }
    artifact = Artifact(json.dumps(manifest).encode(), (config,))
    _push(registry, repository, artifact, str(artifact.digest))
    return Descriptor(media.OCI_MANIFEST, artifact.digest, len(artifact.manifest))


def _push_referrers_index(registry: DockerRegistry, repository: str, subject: Descriptor, referrer: Artifact) -> None:
    """distribution 2.8 has no referrers API; the tag of the specification stands for it."""
    entry = {
        **Descriptor(media.OCI_MANIFEST, referrer.digest, len(referrer.manifest)).as_json(),
        "artifactType": media.SIGSTORE_BUNDLE,
        "annotations": json.loads(referrer.manifest)["annotations"],
    }
    index = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [entry]}
    tag = f"sha256-{subject.digest.hex}"
    _push(registry, repository, Artifact(json.dumps(index).encode(), (), media.OCI_INDEX), tag)


@pytest.mark.real
@pytest.mark.parametrize(
    "form", ["bundle", "bundle as attestation", "bundle with a wrong proof", "sig", "sig by another key"]
)
def test_cosign_verifies_what_we_publish_and_our_log(
    form: str, signer: Signer, docker_registry: Callable[..., DockerRegistry], cosign: Tool, tmp_path: Path
) -> None:
    registry, repository = docker_registry(), "trusted/demo/image"
    subject = _push_image(registry, repository)
    what = admission(digest=subject.digest)
    if form.startswith("bundle"):
        bundle = _bundle(signer, what, spoil="wrong" in form)
        referrer = objects.bundle_artifact(subject, bundle, PREDICATE_TYPE, NOW)
        _push(registry, repository, referrer, str(referrer.digest))
        _push_referrers_index(registry, repository, subject, referrer)
    else:
        artifact = _sig(Signer() if "another" in form else signer, what)
        _push(registry, repository, artifact, objects.sig_tag(subject.digest))
    key, root = tmp_path / "gate.pub", tmp_path / "trusted_root.json"
    key.write_bytes(signer.keys[Purpose.ADMISSION].public.pem)
    root.write_bytes(objects.trusted_root(signer.keys[Purpose.LOG].public, ORIGIN, NOW - 100))
    log = ["--trusted-root", str(root)] if form.startswith("bundle") else ["--insecure-ignore-tlog"]
    image = f"{registry.host}/{repository}@{subject.digest}"
    command = ["verify-attestation", "--type", PREDICATE_TYPE] if "attestation" in form else ["verify"]
    result = cosign(*command, "--key", str(key), *log, "--allow-http-registry", image, check=False)
    accepted = form in ("bundle", "bundle as attestation", "sig")
    assert (result.returncode == 0) is accepted, result.stdout + result.stderr
