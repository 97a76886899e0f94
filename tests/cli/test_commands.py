"""The other commands of this group, and what holds for all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import typer

from gef_registry.cli import COMMANDS, application, failures
from gef_registry.errors import Conflict, Unavailable
from gef_registry.resources import read_resource

HEAVY = ("aiohttp", "docker", "sqlalchemy", "jsonschema", "yaml", "cryptography", "asyncio")


@pytest.mark.slow
def test_help_and_usage_errors_in_a_real_process_load_nothing_heavy():
    code = (
        "import sys, atexit\n"
        "from gef_registry.cli import main\n"
        f"atexit.register(lambda: print('LOADED', [m for m in {HEAVY!r} if m in sys.modules]))\n"
        "main(['check', '--help'])\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "LOADED []" in ended.stdout
    assert "docker-archive:FILE" in ended.stdout.replace("│", " ")


@pytest.mark.slow
def test_the_installed_command_ends_with_the_exit_code_of_the_verdict(images):
    command = [
        sys.executable,
        "-c",
        "from gef_registry.cli import main; main()",
        "check",
        f"oci:{images}/good",
        "-f",
        "json",
    ]
    ended = subprocess.run(
        command, capture_output=True, timeout=60, check=False, env={**os.environ, "HOME": str(images)}
    )
    assert ended.returncode == 4
    assert json.loads(ended.stdout)["verdict"]["decision"] == "review"
    assert ended.stderr == b""


def commands():
    return sorted(typer.main.get_command(application()).commands)


@pytest.mark.slow
def test_every_command_shows_help(run):
    for name in commands():
        ended = run(name, "--help")
        assert ended.code == 0
        assert f"Usage: gef-registry {name}" in ended.out


def test_the_commands_are_those_of_the_listed_files(run):
    assert {"check", "checks", "labels", "policy", "doctor"} <= set(commands())
    assert len(set(COMMANDS)) == len(COMMANDS)


@pytest.mark.parametrize("arguments", [("nonsense",), ("checks", "nonsense"), ("labels", "check"), ("--nonsense",)])
def test_wrong_usage_is_2(run, arguments):
    assert run(*arguments).code == 2


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (Conflict("the name is taken", hint="choose another"), 1, "error: the name is taken\nhint: choose another\n"),
        (Unavailable("no answer\x1b[2J"), 3, "error: no answer\\x1b[2J\n"),
        (ExceptionGroup("group", [ExceptionGroup("inner", [Unavailable("deep")])]), 3, "error: deep\n"),
        (KeyError("bug"), 3, "error: KeyError: 'bug'\nhint: this is a fault of gef-registry"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_error_ends_with_its_family_s_code_and_no_traceback(capsys, error, code, says):
    with pytest.raises(SystemExit) as ended, failures.ending():
        raise error
    assert ended.value.code == code
    assert says in (printed := capsys.readouterr().err)
    assert "Traceback" not in printed


def test_the_version_is_the_package_s(run):
    from gef_registry import __version__

    assert run("--version").out == f"gef-registry {__version__}\n"


def test_checks_are_listed_with_their_action_and_shown_by_id_or_slug(run):
    rows = [line.split("\t") for line in run("checks", "list", "--policy", "strict").out.splitlines()]
    actions = {row[0]: row[2] for row in rows[1:]}
    assert actions["OCI-001"] == "deny"
    assert actions["VUL-001"] == "undecided"
    assert actions["LBL-036"] == "review"
    assert {"POL-001", "POL-002", "POL-003"} <= actions.keys()
    shown = run("checks", "show", "oci-001").out
    assert "waivable:  no" in shown
    assert run("checks", "show", shown.split()[1]).out == shown
    assert "did you mean" in run("checks", "show", "USR-01").err


def test_a_shipped_policy_is_shown_byte_by_byte_and_found_sound(run):
    assert run("policy", "show", "default").out.encode() == read_resource("policies", "default.yaml")
    assert run("policy", "check", "strict").out.startswith("strict: sound\n")


def test_a_policy_file_is_refused_with_the_line_of_its_mistake(run, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_bytes(read_resource("policies", "default.yaml").replace(b"LBL-*", b"LBL-0O1"))
    ended = run("policy", "check", str(file))
    assert ended.code == 2
    assert f"{file}, line " in ended.err
    assert "did you mean LBL-0" in ended.err


def test_explain_names_the_line_of_the_policy_that_decides(run, images):
    ended = run("policy", "explain", f"oci:{images}/good")
    assert ended.code == 4
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in ended.out.splitlines() if "\t" in line}
    assert rows["LBL-021"] == ["pass", "review", "warn", "rule LBL-*: at least review; severity medium: warn"]
    assert rows["OCI-001"] == ["pass", "deny", "undecided", "guards integrity"]


def test_a_fresh_label_block_passes_its_own_check(run, tmp_path):
    block = run("labels", "init", "--name", "Word count").out
    assert "# " in block
    (tmp_path / "Dockerfile").write_text(f'FROM scratch\nUSER 65534\n{block}ENTRYPOINT ["/x"]\n')
    ended = run("labels", "check", str(tmp_path))
    assert ended.code == 0, ended.out
    assert run("labels", "init", "-o", str(tmp_path / "Dockerfile")).code == 1


def test_a_wrong_label_is_found_on_its_line_with_the_exit_code_of_the_policy(run, tmp_path):
    block = run("labels", "init").out
    file = tmp_path / "Dockerfile"
    file.write_text(f'FROM scratch\nLABEL eudat.gef.service.nmae="x"\n{block}ENTRYPOINT ["/x"]\n')
    ended = run("labels", "check", str(file), "--format", "json")
    (finding,) = json.loads(ended.out)["findings"]
    assert (ended.code, finding["check"], finding["location"]["line"]) == (4, "LBL-021", 2)
    assert "eudat.gef.service.name" in finding["remediation"]
    file.write_text('FROM scratch\nENTRYPOINT ["/x"]\n')
    assert run("labels", "check", str(file)).code == 1


def test_labels_of_an_image_are_checked_alike_and_the_report_is_no_full_one(run, images):
    ended = run("labels", "check", f"oci:{images}/bad", "--format", "json")
    document = json.loads(ended.out)
    assert ended.code == 1
    assert [finding["check"] for finding in document["findings"]] == ["LBL-002"]
    skipped = {check["id"] for check in document["checks"] if check["outcome"] == "skipped"}
    assert {"USR-001", "OCI-001", "vulnerabilities"} <= skipped
    assert run("labels", "check", str(images / "good"), "--policy", "strict").code == 0


@pytest.mark.parametrize(
    ("content", "says"), [(None, "no such file"), (b"\xff\xfe", "not UTF-8"), (b"x" * (2 << 20), "no Dockerfile"), (b"", "Dockerfile")]
)  # fmt: skip
def test_what_is_no_dockerfile_cannot_be_decided(run, tmp_path, content, says):
    file = tmp_path / "Dockerfile"
    if content is not None:
        file.write_bytes(content)
    ended = run("labels", "check", str(file))
    assert ended.code == 3
    assert says in ended.err


def test_doctor_shows_where_settings_come_from_and_masks_secrets(run, monkeypatch, tmp_path):
    monkeypatch.setenv("GEF_REGISTRY_CLIENT__TOKEN", "hunter2")
    (tmp_path / "cwd" / "gef-registry.toml").write_text("[judging]\nworkers = 7\n")
    ended = run("doctor")
    assert ended.code == 0
    assert "judging.workers\t7\t" in ended.out
    assert "client.token\t********\tGEF_REGISTRY_CLIENT__TOKEN" in ended.out
    assert "hunter2" not in ended.out + ended.err


def test_doctor_says_3_when_something_is_broken(run, monkeypatch, tmp_path):
    open_to_all = tmp_path / "shared"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    monkeypatch.setenv("GEF_REGISTRY_CACHE__DIRECTORY", str(open_to_all))
    ended = run("doctor")
    assert ended.code == 3
    assert "writable for others" in ended.out


def test_a_wrong_setting_is_a_usage_error_of_every_command(run, monkeypatch, images):
    monkeypatch.setenv("GEF_REGISTRY_CLIENT__POLYCI", "x")
    assert "did you mean client.policy?" in run("check", f"oci:{images}/good").err
