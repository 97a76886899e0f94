"""P2: a trusted name never changes its digest. Sixteen at once, retags, deletes and the gate's own tags against a real gate."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.parts.gate import Account, Gate
from tests.parts.images import BuiltImage, good_service

pytestmark = pytest.mark.real

PUSHERS = 16


@pytest.fixture(scope="module")
def ada(gate: Gate) -> Account:
    return gate.account("ada", "author", "demo")


def version(note: str) -> BuiltImage:
    return good_service(labels={"org.opencontainers.image.description": note})


def test_p2_of_sixteen_pushers_of_sixteen_digests_exactly_one_gets_the_name(gate: Gate, ada: Account) -> None:
    images = [version(f"candidate {n}") for n in range(PUSHERS)]
    for image in images:
        assert gate.upload(image, "trusted/demo/race", ada) is None
    with ThreadPoolExecutor(PUSHERS) as pool:
        answers = list(pool.map(lambda image: gate.put(image, "trusted/demo/race", "1.0.0", ada), images))
    assert Counter(answer.status for answer in answers) == {201: 1, 409: PUSHERS - 1}
    winner = next(image for image, answer in zip(images, answers, strict=True) if answer.status == 201)
    assert all(winner.digest in answer.text for answer in answers if answer.status == 409)
    seen = gate.manifest("trusted/demo/race", "1.0.0")
    assert (seen.status, seen.body) == (200, winner.manifest)
    assert [gate.manifest("trusted/demo/race", i.digest).status for i in images].count(200) == 1
    gate.kill()
    gate.start_again()
    assert gate.manifest("trusted/demo/race", "1.0.0").body == winner.manifest


def test_p2_the_same_digest_again_is_fine_also_sixteen_times_at_once(gate: Gate, ada: Account) -> None:
    image = version("the same")
    assert gate.upload(image, "trusted/demo/same", ada) is None
    with ThreadPoolExecutor(PUSHERS) as pool:
        answers = list(pool.map(lambda _: gate.put(image, "trusted/demo/same", "1.0.0", ada), range(PUSHERS)))
    assert {answer.status for answer in answers} == {201}
    admitted = [one for one in gate.submissions(ada) if one["digest"] == image.digest and one["state"] == "admitted"]
    assert len(admitted) == 1


@pytest.fixture(scope="module")
def admitted(gate: Gate, ada: Account) -> BuiltImage:
    image = version("admitted")
    assert gate.push(image, "trusted/demo/tool", "1.0.0", ada).status == 201
    return image


def test_p2_a_digest_put_cannot_set_a_tag_on_the_side(gate: Gate, ada: Account, admitted: BuiltImage) -> None:
    other = version("other")
    assert gate.upload(other, "trusted/demo/tool", ada) is None
    answer = gate.put(other, "trusted/demo/tool", f"{other.digest}?tag=1.0.0", ada)
    assert answer.status in (400, 403, 405)
    assert "tag" in answer.text
    assert gate.manifest("trusted/demo/tool", "1.0.0").body == admitted.manifest


@pytest.mark.parametrize("reference", ["1.0.0", "digest"])
def test_p2_what_is_trusted_is_never_deleted(gate: Gate, ada: Account, admitted: BuiltImage, reference: str) -> None:
    path = f"/v2/trusted/demo/tool/manifests/{admitted.digest if reference == 'digest' else reference}"
    admin = gate.account(f"root-{reference.replace('.', '-')}", "admin")
    for somebody in (ada, admin):
        assert gate.ask(path, somebody, "DELETE").status == 405
    assert gate.manifest("trusted/demo/tool", "1.0.0").body == admitted.manifest
    config = admitted.config_digest
    assert gate.ask(f"/v2/trusted/demo/tool/blobs/{config}", admin, "DELETE").status == 405
    assert gate.blob("trusted/demo/tool", config).status == 200


@pytest.mark.parametrize("tag", ["adm-" + "0" * 64, "sha256-" + "0" * 64 + ".sig", "sha256-" + "0" * 64, "latest"])
def test_p2_tags_of_the_gates_own_and_tags_that_move_are_refused(gate: Gate, ada: Account, tag: str) -> None:
    answer = gate.push(version("reserved"), "trusted/demo/reserved", tag, ada)
    assert answer.status == 403
    assert answer.json["errors"][0]["code"] == "DENIED"
    assert tag in answer.text
    assert gate.manifest("trusted/demo/reserved", tag).status == 404


def test_p2_an_author_of_another_community_cannot_take_the_name(gate: Gate, admitted: BuiltImage) -> None:
    eve = gate.account("eve", "author", "elsewhere")
    answer = gate.push(version("eve"), "trusted/demo/tool", "2.0.0", eve)
    assert answer.status in (401, 403)
    assert gate.manifest("trusted/demo/tool", "2.0.0").status == 404
