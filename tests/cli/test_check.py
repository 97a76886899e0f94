"""`check`: five forms of names, four decisions, and what is not an image at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket

import jsonschema
import pytest

from gef_registry.resources import read_resource
from tests.parts.images import good_service, write_layout

AT = "2026-12-01T12:00:00Z"
SCHEMA = json.loads(read_resource("schemas", "report.schema.json"))


def report_of(ended):
    document = json.loads(ended.out)
    jsonschema.validate(document, SCHEMA)
    return document


@pytest.mark.parametrize(
    "form",
    ["oci:{}/good", "oci:{}/good:1.0.0", "oci:{}/multi", "oci-archive:{}/good.tar", "docker-archive:{}/docker.tar"],
)
def test_a_good_service_is_admitted_in_every_stored_form(run, images, form):
    ended = run("check", form.format(images), "--skip", "vulnerabilities", "--format", "json")
    assert ended.code == 0, ended.err
    assert report_of(ended)["verdict"]["decision"] == "admit"


@pytest.mark.parametrize(
    ("policy", "code", "decision"), [("default", 4, "review"), ("development", 0, "admit"), ("strict", 3, "undecided")]
)
def test_without_a_scanner_each_policy_says_what_it_promises(run, images, policy, code, decision):
    ended = run("check", f"oci:{images}/good", "--policy", policy, "--format", "json")
    assert ended.code == code
    document = report_of(ended)
    assert document["verdict"]["decision"] == decision
    assert document["policy"] == {
        "name": policy,
        "digest": "sha256:" + hashlib.sha256(read_resource("policies", f"{policy}.yaml")).hexdigest(),
    }


def test_strict_wants_an_approval_even_for_a_faultless_image(run, images):
    ended = run("check", f"oci:{images}/good", "--policy", "strict", "--skip", "vulnerabilities")
    assert ended.code == 4
    assert "approved by 1 person" in ended.out


def test_a_bad_image_is_denied_with_every_reason_and_the_way_out(run, images):
    ended = run("check", f"oci:{images}/bad", "--at", AT)
    assert ended.code == 1
    assert ended.out.startswith(f" DENY  oci:{images}/bad")
    for part in (
        "USR-001 deny",
        "LBL-002 deny",
        "→ End the Dockerfile with a USER that is not root",
        "VUL-001 review",
        AT,
    ):
        assert part in ended.out
    assert "\x1b" not in ended.out
    assert ended.err == ""


def test_what_is_skipped_stands_in_the_report(run, images):
    document = report_of(
        run("check", f"oci:{images}/good", "-f", "json", "--skip", "vulnerabilities", "--skip", "his-002")
    )
    assert [c["id"] for c in document["checks"] if c["outcome"] == "skipped"] == ["HIS-002", "vulnerabilities"]
    assert "left out on request: HIS-002, vulnerabilities" in document["verdict"]["reasons"]


def test_P7_two_runs_differ_in_timings_alone_also_when_facts_come_from_the_cache(run, images):
    first, second, uncached = (
        report_of(run("check", f"oci:{images}/multi", "-f", "json", "--at", AT, *more))
        for more in ((), (), ("--no-cache",))
    )
    assert first["timings"].keys() == second["timings"].keys()
    for document in (first, second, uncached):
        document["timings"] = {}
    assert first == second == uncached
    assert first["evaluated_at"] == AT
    assert first["subject"]["platforms"] == ["linux/amd64", "linux/arm64"]


def test_the_report_goes_whole_to_a_file_and_quiet_prints_nothing(run, images, tmp_path):
    ended = run("check", f"oci:{images}/bad", "-q", "-f", "json", "-o", str(tmp_path / "report.json"))
    assert (ended.code, ended.out, ended.err) == (1, "", "")
    jsonschema.validate(json.loads((tmp_path / "report.json").read_text()), SCHEMA)
    assert [path.name for path in tmp_path.iterdir() if "report" in path.name] == ["report.json"]
    assert run("check", f"oci:{images}/bad", "-o", str(tmp_path / "no" / "x")).code == 3


def test_a_policy_file_with_a_waiver_for_one_repository_counts_only_there(run, images, tmp_path):
    text = read_resource("policies", "development.yaml").decode().replace(
        "waivers: []",
        "waivers:\n" + "".join(
            f"- {{id: W-{n}, rule: {rule}, match: {{repository: demo/bad}}, owner: jane, "
            "reason: a demonstration that runs nowhere, created: 2026-11-01, expires: 2026-12-31}\n"
            for n, rule in enumerate(("USR-001", "LBL-002"))
        ),
    )  # fmt: skip
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    common = ("check", f"oci:{images}/bad", "--policy", str(file), "--at", AT)
    assert run(*common).code == 1
    assert run(*common, "--repository", "demo/other").code == 1
    ended = run(*common, "--repository", "demo/bad")
    assert ended.code == 0
    assert "(waiver W-0)" in ended.out
    assert run(*common, "--repository", "demo/bad", "--at", "2027-01-01T00:00:00Z").code == 1


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "Missing argument"),
        (("x", "--nonsense"), 2, "No such option"),
        (("oci:",), 2, "path or name is missing"),
        (("ftp://host/x",), 2, "unknown transport"),
        (("docker://HOST/Upper",), 2, "is not a repository name"),
        (("oci:{i}/good", "--policy", "strct"), 2, "did you mean strict?"),
        (("oci:{i}/good", "--policy", "./absent.yaml"), 3, "there is no such file"),
        (("oci:{i}/good", "--policy", "{i}/good/oci-layout"), 2, "line 1"),
        (("oci:{i}/good", "--skip", "OCI-001"), 2, "guards integrity"),
        (("oci:{i}/good", "--skip", "USR-01"), 2, "did you mean USR-001?"),
        (("oci:{i}/good", "--at", "yesterday"), 2, "is not a time"),
        (("oci:{i}/good", "--at", "2026-12-01T12:00:00"), 2, "no time zone"),
        (("oci:{i}/good", "--repository", "A B"), 2, "is not a repository name"),
        (("oci:{i}/good", "--format", "pdf"), 2, "formats: table, json"),
        (("oci:{i}/absent",), 3, "no such"),
        (("oci:{i}/good:2.0.0",), 3, "2.0.0"),
        (("oci-archive:{i}/absent.tar",), 3, "absent.tar"),
        (("oci-archive:{i}/docker.tar",), 3, "docker.tar"),
        (("docker://127.0.0.1:{p}/x/y:1", "--plain-http"), 3, "127.0.0.1"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_ends_with_its_code_and_a_message(run, images, arguments, code, says):
    ended = run("check", *(a.format(i=images, p=free_port()) for a in arguments))
    assert (ended.code, ended.out) == (code, ""), ended.err
    assert says in ended.err
    assert "Traceback" not in ended.err


def layers_of(image, directory):
    return [directory / "blobs" / "sha256" / digest[7:] for digest in image.layer_digests]


@pytest.mark.parametrize("harm", ["truncated", "altered", "missing"])
def test_a_layer_that_is_not_what_it_says_is_denied_by_OCI_001(run, tmp_path, harm):
    image = good_service()
    write_layout(tmp_path / "harmed", image, "1.0.0")
    blob = layers_of(image, tmp_path / "harmed")[0]
    content = blob.read_bytes()
    match harm:
        case "truncated":
            blob.write_bytes(content[:-20])
        case "altered":
            blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "missing":
            blob.unlink()
    ended = run("check", f"oci:{tmp_path}/harmed")
    assert ended.code == 1, ended.err
    assert "OCI-001 deny" in ended.out


@pytest.mark.parametrize(
    ("file", "content"),
    [("oci-layout", b"{}"), ("oci-layout", b"["), ("index.json", b'{"a":1,"a":2}'), ("index.json", b"[" * 100_000)],
)  # fmt: skip
def test_a_malformed_layout_cannot_be_judged(run, images, tmp_path, file, content):
    shutil.copytree(images / "good", tmp_path / "torn")
    (tmp_path / "torn" / file).write_bytes(content)
    ended = run("check", f"oci:{tmp_path}/torn")
    assert ended.code == 3, ended.err
    assert ended.out == ""
