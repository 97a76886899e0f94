"""P1: nobody but who pushed it and who reviews it reads a byte of a candidate, by any way there is, in any state before
admission; and the same questions are answered to everybody afterwards."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.parts.gate import ACCEPT, Account, Background, Gate
from tests.parts.images import BuiltImage, good_service

pytestmark = pytest.mark.real

STATES = ["uploaded", "put by digest", "judging", "waiting", "denied", "logged"]


@dataclass(frozen=True, slots=True)
class People:
    """Ada pushes and Grace reviews; the others have no business with it."""

    ada: Account
    grace: Account
    bob: Account
    eve: Account
    linus: Account
    olga: Account

    @property
    def insiders(self) -> tuple[Account, ...]:
        return self.ada, self.grace

    @property
    def outsiders(self) -> tuple[Account | None, ...]:
        return None, self.bob, self.eve, self.linus, self.olga


@pytest.fixture(scope="module")
def holding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a file STEP-TAG keeps the gate before a step."""
    return tmp_path_factory.mktemp("holding")


@pytest.fixture(scope="module")
def gate(start_gate: Callable[..., Gate], holding: Path) -> Gate:
    """Under `default`, which wants a scanner and a person where there is none: good images wait."""
    program = (sys.executable, "-m", "tests.e2e.crashing_gate", "any", "hold", holding)
    return start_gate(policy="default", program=program)


@pytest.fixture(scope="module")
def people(gate: Gate) -> People:
    return People(
        *gate.accounts(
            ("ada", "author", "demo"),
            ("grace", "reviewer"),
            ("bob", "author", "demo"),
            ("eve", "author", "elsewhere"),
            ("linus", "reviewer", "elsewhere"),
            ("olga", "operator"),
        )
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    repository: str
    tag: str
    image: BuiltImage
    state: str
    submission: str | None = None
    report: str | None = None


@pytest.fixture(scope="module", params=STATES)
def candidate(request: pytest.FixtureRequest, gate: Gate, people: People, holding: Path) -> Iterator[Candidate]:
    """Something of Ada's in one of the states, and it stays there."""
    state: str = request.param
    repository, tag = f"trusted/demo/{state.replace(' ', '-')}", f"{STATES.index(state) + 20}.0.0"
    image = good_service(files={"unique": state}, user="root" if state == "denied" else "65534:65534")
    assert gate.upload(image, repository, people.ada) is None
    if state == "put by digest":
        assert gate.put(image, repository, image.digest, people.ada).status == 201
    if state in ("uploaded", "put by digest"):
        yield Candidate(repository, tag, image, state)
        return
    hold = holding / f"{'publish' if state == 'logged' else 'judge'}-{tag}"
    if state in ("judging", "logged"):
        hold.touch()
    push = Background(lambda: gate.put(image, repository, tag, people.ada))
    if state == "logged":
        approve(gate, gate.wait_for(image.digest, people.ada, "waiting")["id"], people.grace)
    found = gate.wait_for(image.digest, people.ada, state)
    yield Candidate(repository, tag, image, state, found["id"], found["report"])
    assert gate.submission_of(image.digest, people.ada)["state"] == state
    hold.unlink(missing_ok=True)
    answer = push.join()
    assert answer is not None
    assert answer.status == 403


def approve(gate: Gate, submission: str, reviewer: Account) -> None:
    document = {"decision": "approve", "comment": "looked at it"}
    assert gate.post_json(f"/api/v1/submissions/{submission}/reviews", document, reviewer).status == 201


def registry_paths(candidate: Candidate) -> list[str]:
    base, image = f"/v2/{candidate.repository}", candidate.image
    return [
        f"{base}/manifests/{candidate.tag}",
        f"{base}/manifests/{image.digest}",
        *(f"{base}/blobs/{digest}" for digest in image.blobs),
    ]


def test_p1_outsiders_read_nothing_of_a_candidate(gate: Gate, people: People, candidate: Candidate) -> None:
    api = [f"/api/v1/submissions/{candidate.submission}", f"/submissions/{candidate.submission}"]
    api += [f"/api/v1/reports/{candidate.report}"] if candidate.report else []
    for path in [*registry_paths(candidate), *(api if candidate.submission else [])]:
        for outsider in people.outsiders:
            for method in ("GET", "HEAD"):
                answer = gate.ask(path, outsider, method, headers={"Accept": ACCEPT})
                assert answer.status in (401, 403, 404), (method, path, outsider)
                assert candidate.image.config not in answer.body
                assert candidate.image.manifest not in answer.body


def test_p1_outsiders_do_not_find_a_candidate_in_any_list(gate: Gate, people: People, candidate: Candidate) -> None:
    traces = (candidate.image.digest.removeprefix("sha256:"), candidate.submission or "no-submission")
    lists = [
        f"/v2/{candidate.repository}/tags/list", "/v2/_catalog", "/api/v1/services", "/", "/log",
        f"/v2/{candidate.repository}/referrers/{candidate.image.digest}", f"/log/proof/{candidate.image.digest}",
    ]  # fmt: skip
    if candidate.state == "logged":  # the log is public, and first: only the image is hidden still
        lists = [path for path in lists if not path.startswith("/log")]
    for outsider in people.outsiders:
        for path in lists:
            answer = gate.ask(path, outsider)
            body = answer.text.replace(f"the log has nothing about {candidate.image.digest}", "")
            if "referrers" in path and answer.status == 200:
                assert answer.json["manifests"] == []
            elif answer.status == 200:
                assert not any(trace in body for trace in traces), (path, outsider)
                assert candidate.repository not in body, (path, outsider)
                assert candidate.tag not in body, (path, outsider)
        if outsider is not None:
            assert candidate.submission not in [one["id"] for one in gate.submissions(outsider)]


def test_p1_outsiders_cannot_mount_or_claim_what_they_cannot_read(
    gate: Gate, people: People, candidate: Candidate
) -> None:
    for thief, own in ((people.bob, "staging/demo/stolen"), (people.eve, "staging/elsewhere/stolen")):
        for digest in candidate.image.blobs:
            for source in (f"&from={candidate.repository}", ""):
                answer = gate.ask(f"/v2/{own}/blobs/uploads/?mount={digest}{source}", thief, "POST")
                assert answer.status == 202, "never 201, and never 403, which stops containerd"
                assert gate.ask(answer.headers["location"], thief, "DELETE").status == 204
            assert gate.blob(own, digest, thief).status == 404
        claimed = gate.put(candidate.image, own, "1.0.0", thief)
        assert claimed.status in (400, 404)
        assert gate.manifest(own, "1.0.0", thief).status == 404


def test_p1_a_token_for_a_candidates_repository_opens_nothing_to_anonymous(gate: Gate, candidate: Candidate) -> None:
    scope = f"repository:{candidate.repository}:pull,push"
    token = gate.ask(f"/token?service=x&scope={scope}").json["token"]
    for path in registry_paths(candidate):
        answer = gate.ask(path, headers={"Authorization": f"Bearer {token}", "Accept": ACCEPT})
        assert answer.status in (401, 403, 404)


def test_p1_the_pusher_and_the_reviewer_read_it(gate: Gate, people: People, candidate: Candidate) -> None:
    for insider in people.insiders:
        for path in registry_paths(candidate):
            if "/manifests/" in path and (candidate.submission is None or path.endswith(candidate.tag)):
                continue  # no manifest yet, or no tag: a candidate of trusted/ has none before it is admitted
            answer = gate.ask(path, insider, "HEAD", headers={"Accept": ACCEPT})
            assert answer.status == 200, (path, insider.name)
        if candidate.submission:
            assert gate.ask(f"/api/v1/submissions/{candidate.submission}", insider).status == 200
    if candidate.report:
        assert json.loads(gate.ask(f"/api/v1/reports/{candidate.report}", people.grace).body)["verdict"]


def test_p1_what_outsiders_may_read_appears_whole_with_the_approval(gate: Gate, people: People) -> None:
    image = good_service(files={"unique": "approved at last"})
    assert gate.push(image, "trusted/demo/approved", "1.0.0", people.ada).status == 403
    waiting = gate.wait_for(image.digest, people.ada, "waiting")
    paths = [f"/v2/trusted/demo/approved/manifests/{reference}" for reference in ("1.0.0", image.digest)]
    paths += [f"/v2/trusted/demo/approved/blobs/{digest}" for digest in image.blobs]
    paths += [f"/api/v1/submissions/{waiting['id']}", f"/api/v1/reports/{waiting['report']}"]
    assert {gate.ask(path).status for path in paths} <= {401, 404}
    approve(gate, waiting["id"], people.grace)
    gate.wait_for(image.digest, people.ada, "admitted")
    assert {path: gate.ask(path, headers={"Accept": ACCEPT}).status for path in paths} == dict.fromkeys(paths, 200)
    assert re.search(r"\b1\.0\.0\b", gate.ask("/v2/trusted/demo/approved/tags/list").text)
