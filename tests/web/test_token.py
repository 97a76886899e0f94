"""`/token`: scopes in, the intersection with rights out."""

from __future__ import annotations

import json
from datetime import datetime

import aiohttp

from tests.fakes.gate_ports import MemoryGate


def grants(gate: MemoryGate, answer: dict) -> dict[str, set[str]]:
    grant = gate.issuer.verify(answer["token"])
    return {name: set(actions) for name, actions in grant.grants.items()}


async def test_anonymous_gets_what_everybody_may_do(http, gate) -> None:
    async with http.get(
        "/token", params={"service": "x", "scope": "repository:trusted/seis/waveform:pull,push"}
    ) as answer:
        assert answer.status == 200
        document = await answer.json()
    assert grants(gate, document) == {"trusted/seis/waveform": {"pull"}}
    assert document["access_token"] == document["token"]
    assert document["expires_in"] == 300
    assert datetime.fromisoformat(document["issued_at"])  # Go clients refuse a number
    assert answer.headers["Cache-Control"] == "private, no-store"


async def test_repeated_and_joined_scopes_are_both_read(http, gate, basic) -> None:
    scopes = [
        ("scope", "repository:trusted/seis/waveform:pull,push repository:staging/seis/a:push"),
        ("scope", "repository:trusted/other/thing:pull,push"),
        ("scope", "registry:catalog:*"),
        ("scope", "repository:staging/other/secret:pull"),
    ]
    async with http.get("/token", params=scopes, headers=basic("ada", "gefr_ada")) as answer:
        document = await answer.json()
    assert grants(gate, document) == {
        "trusted/seis/waveform": {"pull", "push"},
        "staging/seis/a": {"push"},
        "trusted/other/thing": {"pull"},
    }


async def test_two_hundred_scopes_fit_into_one_request_and_the_token_into_the_next(http, gate, basic) -> None:
    scopes = [("scope", f"repository:staging/seis/service-number-{n}:pull,push") for n in range(200)]
    async with http.get("/token", params=scopes, headers=basic("ada", "gefr_ada")) as answer:
        token = (await answer.json())["token"]
    assert len(grants(gate, {"token": token})) == 200
    async with http.get("/v2/", headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.status == 200


async def test_wrong_credentials_are_401_in_the_registrys_words(http, basic) -> None:
    async with http.get("/token", headers=basic("ada", "gefr_rita")) as answer:
        assert answer.status == 401
        assert (await answer.json())["errors"][0]["code"] == "UNAUTHORIZED"
        assert answer.headers["WWW-Authenticate"].startswith("Basic")


async def test_somebody_who_guesses_is_slowed_down_and_others_are_not(http, basic, gate) -> None:
    for _ in range(10):
        async with http.get("/token", headers=basic("ada", "gefr_guess")) as answer:
            assert answer.status == 401
    asked = gate.accounts.asked
    async with http.get("/token", headers=basic("ada", "gefr_guess")) as answer:
        assert answer.status == 429
        assert int(answer.headers["Retry-After"]) > 0
        assert (await answer.json())["errors"][0]["code"] == "TOOMANYREQUESTS"
    assert gate.accounts.asked == asked
    async with http.get("/token", headers=basic("rita", "gefr_rita")) as answer:
        assert answer.status == 200


async def test_the_oauth2_password_grant_works_and_no_other(http, gate) -> None:
    form = {
        "grant_type": "password",
        "username": "ada",
        "password": "gefr_ada",
        "client_id": "containerd",
        "service": "x",
        "scope": "repository:staging/seis/a:pull,push",
    }
    async with http.post("/token", data=form) as answer:
        document = await answer.json()
        assert grants(gate, document) == {"staging/seis/a": {"pull", "push"}}
        assert document["scope"] == form["scope"]
    async with http.post("/token", data={**form, "password": "gefr_rita"}) as answer:
        assert answer.status == 401
    async with http.post("/token", data={"grant_type": "refresh_token", "refresh_token": "x"}) as answer:
        assert answer.status == 404
    async with http.post("/token", json=form) as answer:
        assert answer.status == 415


async def test_a_store_that_is_down_is_no_refusal_and_tells_nothing(http, basic, gate) -> None:
    gate.failing.fail.append("owner")
    async with http.get("/token", headers=basic("ada", "gefr_ada")) as answer:
        assert answer.status == 503
        assert "secret" not in await answer.text()


async def test_the_challenge_of_the_registry_leads_to_the_token_address_of_the_origin(http, gate) -> None:
    async with http.get("/v2/", headers={"Host": "evil.example"}) as answer:
        assert answer.status == 401
        assert 'realm="https://gate.example.org/token"' in answer.headers["WWW-Authenticate"]


async def test_an_altered_or_outdated_token_is_refused(http, gate: MemoryGate) -> None:
    token = gate.issuer.issue(None, [])["token"]
    head, payload, signature = token.split(".")
    for bad in (f"{head}.{payload}x.{signature}", f"{head}.{payload}.AAAA", "nonsense", "a.b.c"):
        async with http.get("/v2/", headers={"Authorization": f"Bearer {bad}"}) as answer:
            assert answer.status == 401
    gate.now += 3600
    async with http.get("/v2/", headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.status == 401
        assert "expired" in json.dumps(await answer.json())


async def test_api_tokens_open_the_registry_too_but_registry_tokens_not_the_api_as_bearer(
    http: aiohttp.ClientSession,
) -> None:
    async with http.get("/v2/", headers={"Authorization": "Bearer gefa_ada"}) as answer:
        assert answer.status == 200
    async with http.get("/api/v1/whoami", headers={"Authorization": "Bearer gefr_ada"}) as answer:
        assert answer.status == 401


async def test_a_registry_token_does_not_open_the_api_as_basic_either(http, basic) -> None:
    async with http.get("/api/v1/whoami", headers=basic("ada", "gefr_ada")) as answer:
        assert answer.status == 401
    async with http.get("/api/v1/whoami", headers=basic("ada", "gefa_ada")) as answer:
        assert answer.status == 200
