"""When a person must decide: the push is told so, a colleague approves or refuses, and the approval alone admits."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.parts.dockerd import Dockerd
from tests.parts.gate import Account, Answer, Gate, command
from tests.parts.images import BuiltImage, good_service, write_docker_archive

pytestmark = pytest.mark.real

STRICT = Path(__file__).resolve().parents[2] / "policies" / "strict.yaml"
REPOSITORY = "trusted/demo/reviewed"
_counter = itertools.count(1)


@pytest.fixture(scope="module")
def gate(start_gate: Callable[..., Gate], tmp_path_factory: pytest.TempPathFactory) -> Gate:
    """Under `strict` with two approvals, but without the scanner it wants, which alone leaves everything undecided."""
    text = STRICT.read_text()
    for old, new in (("scanner: {required: undecided}", "scanner: {required: note}"), ("approvals: 1", "approvals: 2")):
        assert text.count(old) == 1
        text = text.replace(old, new)
    policy = tmp_path_factory.mktemp("policy") / "reviewed.yaml"
    policy.write_text(text)
    return start_gate(policy=str(policy))


@pytest.fixture(scope="module")
def people(gate: Gate) -> Mapping[str, Account]:
    names = ("ada", "author", "demo"), ("grace", "reviewer"), ("linus", "reviewer", "elsewhere"), ("rosa", "reviewer")
    return {account.name: account for account in gate.accounts(*names, ("boss", "admin"))}


@pytest.fixture
def image() -> BuiltImage:
    return good_service(labels={"eudat.gef.service.version": f"{next(_counter)}.0.0"})


def tag_of(image: BuiltImage) -> str:
    return image.labels["eudat.gef.service.version"]


def push(gate: Gate, image: BuiltImage, account: Account) -> Answer:
    return gate.push(image, REPOSITORY, tag_of(image), account)


@pytest.fixture
def waiting(gate: Gate, people: Mapping[str, Account], image: BuiltImage) -> str:
    """The id of a submission of ada's that waits for reviewers."""
    answer = push(gate, image, people["ada"])
    assert answer.status == 403
    submission = gate.submission_of(image.digest, people["ada"])
    assert submission["state"] == "waiting"
    return str(submission["id"])


def opinion(gate: Gate, submission: str, account: Account, decision: str = "approve", comment: str = "seen") -> Answer:
    document = {"decision": decision, "comment": comment}
    return gate.post_json(f"/api/v1/submissions/{submission}/reviews", document, account)


def test_docker_prints_that_the_image_waits_for_review(
    gate: Gate, dockerd: Dockerd, people: Mapping[str, Account], image: BuiltImage, tmp_path: Path
) -> None:
    docker = dockerd.client(tmp_path / "docker")
    docker("login", "--username", "ada", "--password-stdin", gate.host, stdin=people["ada"].token)
    name = f"{gate.host}/{REPOSITORY}:{tag_of(image)}"
    docker("load", "--input", write_docker_archive(tmp_path / "image.tar", image, name))
    refused = docker("push", name, check=False)
    docker("rmi", "--force", name)
    assert refused.returncode == 1
    assert f"denied: {REPOSITORY}:{tag_of(image)} is waiting for review" in refused.stderr + refused.stdout
    assert f"{gate.url}/submissions/" in refused.stderr + refused.stdout


def test_the_quorum_admits_without_another_push_and_the_same_push_is_then_201(
    gate: Gate, people: Mapping[str, Account], image: BuiltImage, waiting: str
) -> None:
    first = opinion(gate, waiting, people["grace"])
    assert (first.status, first.json["state"]) == (201, "waiting")
    assert gate.manifest(REPOSITORY, tag_of(image)).status == 404
    assert push(gate, image, people["ada"]).status == 403, "one of two is not enough"
    twice = opinion(gate, waiting, people["grace"])
    assert twice.status == 409, "one person is one opinion"
    assert opinion(gate, waiting, people["rosa"]).status == 201
    gate.wait_for(image.digest, people["ada"], "admitted")
    assert gate.manifest(REPOSITORY, tag_of(image)).body == image.manifest
    assert push(gate, image, people["ada"]).status == 201


def test_the_command_line_shows_and_approves(
    gate: Gate, people: Mapping[str, Account], image: BuiltImage, waiting: str
) -> None:
    grace = gate.client_env(people["grace"])
    assert waiting in command("review", "list", env=grace).stdout
    shown = command("review", "show", waiting, env=grace).stdout
    assert REPOSITORY in shown
    assert image.digest in shown
    command("review", "approve", waiting, "--comment", "fine", env=grace)
    command("status", waiting, env=grace, check=4)
    command("review", "approve", waiting, "--comment", "fine too", env=gate.client_env(people["rosa"]))
    gate.wait_for(image.digest, people["ada"], "admitted")
    assert "admitted" in command("status", waiting, env=grace).stdout
    assert gate.manifest(REPOSITORY, tag_of(image)).status == 200


def test_nobody_reviews_their_own(gate: Gate, people: Mapping[str, Account], image: BuiltImage) -> None:
    boss = people["boss"]
    assert push(gate, image, boss).status == 403
    submission = gate.submission_of(image.digest, boss)["id"]
    for decision in ("approve", "reject"):
        answer = opinion(gate, submission, boss, decision)
        assert answer.status == 403
        assert "somebody else must review it" in answer.text
    assert opinion(gate, submission, people["grace"]).status == 201
    assert gate.submission_of(image.digest, boss)["state"] == "waiting", "an administrator's push needs the quorum too"


@pytest.mark.parametrize(("who", "status"), [("ada", 403), ("linus", 404), (None, 401)])
def test_only_reviewers_of_the_community_review(
    gate: Gate, people: Mapping[str, Account], waiting: str, who: str | None, status: int
) -> None:
    document = {"decision": "approve", "comment": "please"}
    account = people[who] if who else None
    assert gate.post_json(f"/api/v1/submissions/{waiting}/reviews", document, account).status == status


def test_one_rejection_ends_it_and_the_pusher_hears_why(
    gate: Gate, people: Mapping[str, Account], image: BuiltImage, waiting: str
) -> None:
    assert opinion(gate, waiting, people["grace"], "reject", "").status == 400, "a refusal needs a reason"
    assert opinion(gate, waiting, people["grace"], "reject", "the outputs are wrong").status == 201
    assert opinion(gate, waiting, people["rosa"]).status == 409
    assert gate.submission_of(image.digest, people["ada"])["state"] == "rejected"
    assert gate.manifest(REPOSITORY, tag_of(image)).status == 404
    shown = gate.ask(f"/api/v1/submissions/{waiting}", people["ada"]).json
    assert [review["comment"] for review in shown["reviews"]] == ["the outputs are wrong"]


def test_a_waiting_image_survives_a_crash_and_is_then_approved(
    gate: Gate, people: Mapping[str, Account], image: BuiltImage, waiting: str
) -> None:
    assert opinion(gate, waiting, people["grace"]).status == 201
    gate.kill()
    gate.start_again()
    assert gate.submission_of(image.digest, people["ada"])["state"] == "waiting"
    assert opinion(gate, waiting, people["rosa"]).status == 201
    gate.wait_for(image.digest, people["ada"], "admitted")


def test_without_the_scanner_strict_itself_decides_nothing(start_gate: Callable[..., Gate], image: BuiltImage) -> None:
    strict = start_gate(policy="strict")
    ada = strict.account("ada", "author", "demo")
    answer = strict.push(image, REPOSITORY, tag_of(image), ada)
    assert answer.status == 403
    assert "could not be decided" in answer.text
    assert "scanner" in answer.text
    assert strict.submission_of(image.digest, ada)["state"] == "undecided"
