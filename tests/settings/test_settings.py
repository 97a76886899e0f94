"""Settings: what wins over what, what is refused, what is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from gef_registry.errors import BadInput, Unavailable
from gef_registry.settings import entries, load_settings, markdown

DOCS = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


def shown(settings):
    return {entry.name: (entry.value, entry.origin) for entry in entries(settings)}


def test_nothing_needs_to_be_set(tmp_path):
    settings = load_settings(environ={}, directory=tmp_path)
    assert settings.server.listen == "127.0.0.1:8080"
    assert settings.origins == {}
    assert {origin for _, origin in shown(settings).values()} == {"default"}


def test_flags_win_over_environment_over_file_over_default(tmp_path):
    file = tmp_path / "gef-registry.toml"
    file.write_text('[server]\nlisten = "file:1"\ndata = "/d"\nbehind_proxy = true\n[judging]\nworkers = 3\n')
    environ = {"GEF_REGISTRY_SERVER__LISTEN": "env:2", "GEF_REGISTRY_JUDGING__WORKERS": "4"}
    settings = load_settings(
        environ=environ, flags={"server.listen": "flag:3", "server.data": None}, directory=tmp_path
    )
    assert settings.server.listen == "flag:3"
    assert settings.judging.workers == 4
    assert settings.server.data == Path("/d")
    assert settings.server.behind_proxy is True
    origins = {name: origin for name, (_, origin) in shown(settings).items()}
    assert origins["server.listen"] == "flag"
    assert origins["judging.workers"] == "GEF_REGISTRY_JUDGING__WORKERS"
    assert origins["server.data"] == str(file)
    assert origins["client.timeout_s"] == "default"


def test_a_named_file_is_read_instead_and_must_be_there(tmp_path):
    other = tmp_path / "other.toml"
    other.write_text('[sources]\nregistries = ["a.example", "b.example"]\n')
    (tmp_path / "gef-registry.toml").write_text("[nonsense]\n")
    settings = load_settings(environ={"GEF_REGISTRY_CONFIG": str(other)}, directory=tmp_path)
    assert settings.sources.registries == ("a.example", "b.example")
    with pytest.raises(Unavailable, match="cannot be read"):
        load_settings(environ={"GEF_REGISTRY_CONFIG": str(tmp_path / "absent")}, directory=tmp_path)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"GEF_REGISTRY_SERVER__LISTNE": "x"}, "did you mean server.listen?"),
        ({"GEF_REGISTRY_JUDGING__WORKERS": "many"}, "judging.workers must be a whole number, got 'many'"),
        ({"GEF_REGISTRY_JUDGING__WORKERS": "0"}, "judging.workers is 0, must be at least 1"),
        ({"GEF_REGISTRY_JUDGING__ANSWER_WITHIN_S": "nan"}, "must be a number"),
        ({"GEF_REGISTRY_SERVER__BEHIND_PROXY": "perhaps"}, "must be true or false"),
        ({"GEF_REGISTRY_SERVER__LISTEN": ""}, "must be a text that is not empty"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(tmp_path, environ, says):
    with pytest.raises(BadInput) as caught:
        load_settings(environ=environ, directory=tmp_path)
    assert says in str(caught.value)
    assert next(iter(environ)) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[servr]\n", "did you mean server?"),
        ("[server]\nlisen = 'x'\n", "did you mean server.listen?"),
        ("[judging]\nworkers = 1.5\n", "must be a whole number"),
        ("[judging]\nworkers = true\n", "must be a whole number"),
        ("server = 1\n", "server is a section"),
        ("[server\n", "not TOML"),
        ("[sources]\nregistries = [1]\n", "must be a list of strings"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path, text, says):
    (tmp_path / "gef-registry.toml").write_text(text)
    with pytest.raises(BadInput) as caught:
        load_settings(environ={}, directory=tmp_path)
    assert says in str(caught.value)
    assert str(tmp_path / "gef-registry.toml") in str(caught.value)


def test_variables_of_other_things_are_left_alone(tmp_path):
    assert load_settings(environ={"GEF_REGISTRY_REQUIRE_REAL": "1"}, directory=tmp_path).origins == {}


def test_P8_a_secret_is_never_shown(tmp_path):
    settings = load_settings(environ={"GEF_REGISTRY_CLIENT__TOKEN": "hunter2"}, directory=tmp_path)
    assert settings.client.token == "hunter2"
    assert shown(settings)["client.token"] == ("********", "GEF_REGISTRY_CLIENT__TOKEN")
    assert "hunter2" not in repr(entries(settings)) + repr(settings)


def test_the_documented_settings_are_those_of_the_code():
    assert DOCS.read_text() == markdown(), "run: .venv/bin/python -m gef_registry.settings > docs/settings.md"
