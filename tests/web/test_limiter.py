"""The limiter alone, on a clock of its own."""

from __future__ import annotations

from gef_registry.web.limiter import LIMIT_BY_NAME, LIMIT_BY_SOURCE, MAX_KEYS, WINDOW_S, Limiter


def test_the_window_ends_and_success_clears_the_count() -> None:
    now = [0.0]
    limiter = Limiter(lambda: now[0])
    for _ in range(LIMIT_BY_NAME):
        assert limiter.wait_s("1.2.3.4", "ada") == 0
        limiter.failed("1.2.3.4", "ada")
    assert limiter.wait_s("1.2.3.4", "ada") > 0
    assert limiter.wait_s("5.6.7.8", "ada") == 0, "a stranger elsewhere cannot lock an account out"
    now[0] += WINDOW_S
    assert limiter.wait_s("1.2.3.4", "ada") == 0
    limiter.failed("1.2.3.4", "ada")
    assert limiter.wait_s("1.2.3.4", "ada") == 0
    limiter.succeeded("1.2.3.4", "ada")
    for _ in range(LIMIT_BY_NAME - 1):
        limiter.failed("1.2.3.4", "ada")
    assert limiter.wait_s("1.2.3.4", "ada") == 0


def test_one_source_cannot_try_all_names_for_ever() -> None:
    limiter = Limiter(lambda: 0.0)
    for number in range(LIMIT_BY_SOURCE):
        limiter.failed("1.2.3.4", f"name{number}")
    assert limiter.wait_s("1.2.3.4", "another") > 0


def test_memory_is_bounded() -> None:
    limiter = Limiter(lambda: 0.0)
    for number in range(MAX_KEYS):
        limiter.failed(f"source{number}", "ada")
    assert len(limiter._failures) <= MAX_KEYS
