"""Reading a Dockerfile without building it: grammar, stages, variables, and what stays unknown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.errors import BadInput
from gef_registry.service.dockerfile import DockerfileImage, read_dockerfile
from gef_registry.service.dockerfile_syntax import MAX_BYTES


def labels(text: str, *, base: str = "scratch") -> dict[str, str | None]:
    image = read_dockerfile(f"FROM {base}\n{text}\n")
    assert image.problems == ()
    return {key: label.value for key, label in image.labels.items()}


@pytest.mark.parametrize("text, expected", [
    ("LABEL a=b", {"a": "b"}),
    ("label a=b", {"a": "b"}),
    ('LABEL "a"="b c"', {"a": "b c"}),
    ("LABEL a='b c' d=e", {"a": "b c", "d": "e"}),
    ("LABEL a=b\\ c", {"a": "b c"}),
    ('LABEL a="b\\"c\\\\d\\$e\\f"', {"a": 'b"c\\d$e\\f'}),
    ("LABEL a='b\\n$x'", {"a": "b\\n$x"}),
    ("LABEL a=", {"a": ""}),
    ("LABEL a=b=c", {"a": "b=c"}),
    ("LABEL key old form  value ", {"key": "old form  value"}),
    ('LABEL key "old form"', {"key": "old form"}),
    ("LABEL a=1 \\\n   b=2 \\\n\n# between\n   # indented\n c=3", {"a": "1", "b": "2", "c": "3"}),
    ("LABEL a=1 \\   \n b=2", {"a": "1", "b": "2"}),
    ("LABEL a=x\\\ny", {"a": "xy"}),
    ("LABEL a=1\nLABEL a=2", {"a": "2"}),
    ("  LABEL\ta=1", {"a": "1"}),
    ("LABEL a=1\r\nLABEL b=2\r", {"a": "1", "b": "2"}),
    ("# LABEL a=1", {}),
    ('LABEL a="x" \\', {"a": "x"}),
])  # fmt: skip
def test_each_form_of_a_label_is_read_as_the_builder_reads_it(text: str, expected: dict[str, str]) -> None:
    assert labels(text) == expected


def test_every_label_knows_its_own_line_also_in_a_continued_instruction() -> None:
    image = read_dockerfile("# top\nFROM scratch\nLABEL a=1 \\\n# note\n  b=2 \\\n\n  c=3\nLABEL d=4\n")
    assert {key: label.line for key, label in image.labels.items()} == {"a": 3, "b": 5, "c": 7, "d": 8}


def test_the_escape_directive_changes_continuation_and_escapes() -> None:
    image = read_dockerfile('# escape=`\nFROM scratch\nLABEL a=C:\\x `\n b="`"q"\n')
    assert {key: label.value for key, label in image.labels.items()} == {"a": "C:\\x", "b": '"q'}


def test_a_directive_counts_only_at_the_very_top() -> None:
    image = read_dockerfile("# a comment\n# escape=`\nFROM scratch\nLABEL a=1 \\\n b=2\n")
    assert set(image.labels) == {"a", "b"}


def test_another_frontend_makes_the_meaning_unknown() -> None:
    image = read_dockerfile("# syntax=example.org/other:1\nFROM scratch\n")
    assert [note.line for note in image.unknown] == [1]
    assert read_dockerfile("# syntax=docker/dockerfile:1\nFROM scratch\n").unknown == ()


@pytest.mark.parametrize("heredoc", [
    "RUN <<EOF\nLABEL a=no\nFROM nowhere\nEOF", "RUN cat <<'EOF' > /x\nLABEL a=no \\\nEOF", "COPY <<-EOF /x\n\tLABEL a=no\n\tEOF",
    'ADD <<"one" <<two /x/\nLABEL a=no\none\nLABEL a=no\ntwo', "ONBUILD RUN <<EOF\nLABEL a=no\nEOF"])
def test_what_stands_in_a_heredoc_is_no_instruction(heredoc: str) -> None:
    assert labels(f"{heredoc}\nLABEL a=yes") == {"a": "yes"}


def test_only_words_that_begin_with_the_operator_open_a_heredoc() -> None:
    assert labels("RUN echo $((1<<3)) 'a <<EOF'\nLABEL a=yes\nLABEL b=<<EOF") == {"a": "yes", "b": "<<EOF"}


def test_a_heredoc_without_end_is_a_problem() -> None:
    assert read_dockerfile("FROM scratch\nRUN <<EOF\nLABEL a=no\n").problems[0].line == 2


@pytest.mark.parametrize("word, expected", [
    ("$V", "1.2"), ("${V}", "1.2"), ("x${V}y", "x1.2y"), ('"$V"', "1.2"), ("'$V'", "$V"), ("\\$V", "$V"),
    ("${V:-d}", "1.2"), ("${U:-d}", "d"), ("${U-d}", "d"), ("${E:-d}", "d"), ("${E-d}", ""), ("${V:+s}", "s"),
    ("${U:+s}", ""), ("${E:+s}", ""), ("${E+s}", "s"), ("${U:-${V}}", "1.2"), ('${U:-"a b"}', "a b"), ("$U", ""), ("a$", "a$"),
    ("${V:?needed}", "1.2"), ("${V#1}", None), ("${V/1/2}", None), ("$A", None), ("x$A", None), ("${A:-d}", None),
    ("${V:-$A}", "1.2"), ("${U:+$A}", ""), ("${V:+$A}", None)])
def test_variables_are_substituted_and_unknown_is_never_guessed(word: str, expected: str | None) -> None:
    image = read_dockerfile(f"FROM scratch\nARG V=1.2\nENV E=\nARG A\nLABEL v={word}\n")
    assert image.problems == ()
    assert image.labels["v"].value == expected
    assert [note.line for note in image.unknown] == ([5] if expected is None else [])


def test_a_variable_of_the_base_image_is_unknown_unless_the_base_is_scratch() -> None:
    assert labels("LABEL v=$PYTHON_VERSION", base="python:3") == {"v": None}
    assert labels("LABEL v=$PYTHON_VERSION") == {"v": ""}


def test_env_wins_over_arg_and_an_instruction_sees_only_what_was_before_it() -> None:
    assert labels("ENV V=env\nARG V=arg\nLABEL v=$V") == {"v": "env"}
    assert labels("ENV abc=hello\nENV abc=bye def=$abc\nLABEL v=$def w=$abc") == {"v": "hello", "w": "bye"}


def test_global_arguments_reach_from_and_those_stages_that_ask_for_them() -> None:
    image = read_dockerfile("ARG TAG=3.12\nARG V=7\nFROM python:${TAG}-slim\nARG V\nLABEL v=$V t=$TAG\n")
    assert image.base == "python:3.12-slim"
    assert (image.labels["v"].value, image.labels["t"].value) == ("7", None)


def test_an_unknown_base_is_said_to_be_unknown() -> None:
    image = read_dockerfile("ARG BASE\nFROM ${BASE}\n")
    assert image.base == "${BASE}"
    assert any("not known" in note.message for note in image.unknown)


MULTI = """\
FROM --platform=$BUILDPLATFORM scratch AS Base
LABEL a=base b=base
ENV E=1
ARG X=arg
USER 1000
CMD ["base"]
FROM ubuntu as builder
LABEL c=builder
ENTRYPOINT ["builder"]
FROM base
LABEL b=final e=$E x=$X
"""


def test_the_final_stage_inherits_from_a_stage_of_the_file_and_from_no_other() -> None:
    image = read_dockerfile(MULTI)
    assert {key: label.value for key, label in image.labels.items()} == {"a": "base", "b": "final", "e": "1", "x": None}
    assert image.base == "scratch"
    assert image.from_line == 10
    assert image.user is not None and image.user.value == "1000"
    assert image.cmd is not None and (image.cmd.value, image.cmd.line) == (("base",), 6)
    assert image.entrypoint is None
    assert ["value of x" in note.message for note in image.unknown] == [True]  # builders differ about arguments


def test_a_stage_changed_later_does_not_change_its_child() -> None:
    image = read_dockerfile("FROM scratch AS a\nLABEL x=1\nFROM a AS b\nLABEL x=2\nFROM a\n")
    assert image.labels["x"].value == "1"


def test_an_entrypoint_resets_an_inherited_command_but_not_ones_own() -> None:
    inherited = read_dockerfile("FROM scratch AS a\nCMD [\"x\"]\nFROM a\nENTRYPOINT [\"y\"]\n")
    assert inherited.cmd is None
    own = read_dockerfile("FROM scratch\nCMD [\"x\"]\nENTRYPOINT [\"y\"]\n")
    assert own.cmd is not None


@pytest.mark.parametrize("line, expected", [
    ('CMD ["a", "$b"]', ("a", "$b")), ("CMD a 'b'", ("/bin/sh", "-c", "a 'b'")), ('CMD ["a", 1]', ("/bin/sh", "-c", '["a", 1]')),
    ("CMD ['a']", ("/bin/sh", "-c", "['a']")), ('SHELL ["bash", "-c"]\nCMD a', ("bash", "-c", "a")), ("CMD []", ())])
def test_commands_have_a_json_form_and_a_shell_form(line: str, expected: tuple[str, ...]) -> None:
    image = read_dockerfile(f"FROM scratch\n{line}\n")
    assert image.cmd is not None
    assert image.cmd.value == expected
    assert image.has_command is bool(expected)


def test_the_last_user_counts_and_an_unknown_one_is_not_no_user() -> None:
    image = read_dockerfile("FROM debian\nARG UID\nUSER root\nUSER ${UID}\n")
    assert image.user is not None
    assert (image.user.value, image.user.line) == (None, 4)


def test_a_key_that_is_not_known_makes_the_labels_incomplete() -> None:
    image = read_dockerfile("FROM scratch\nARG K\nLABEL $K=v\n")
    assert not image.labels_complete
    assert image.labels == {}


@pytest.mark.parametrize("text, line", [
    ("FROM scratch\nLABEL a", 2), ("FROM scratch\nLABEL a=1 b", 2), ("FROM scratch\nLABLE a=1", 2), ("FROM scratch\nLABEL", 2),
    ("LABEL a=1\nFROM scratch", 1), ("FROM scratch\nLABEL a=${b", 2), ('FROM scratch\nLABEL a="b', 2), ("FROM a b\nFROM scratch", 1),
    ("FROM scratch\nLABEL a=${}", 2), ("FROM scratch\nSHELL bash", 2), ("FROM scratch\nLABEL a=${b:?x}", 2)])
def test_where_a_build_would_fail_there_is_a_problem_with_its_line(text: str, line: int) -> None:
    assert [problem.line for problem in read_dockerfile(text).problems] == [line]


@pytest.mark.parametrize("text", ["", "hello world\n", "# only a comment\n", '{"json": 1}', "\x7fELF\0\0", "import os\n",
                                  "A" * (MAX_BYTES + 1), "FROM scratch\n" + "RUN x\n" * 10_001, "FROM a\n" * 101,
                                  "FROM scratch\nLABEL " + " ".join(f"k{n}=v" for n in range(2001))])
def test_what_is_no_dockerfile_or_beyond_the_bounds_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        read_dockerfile(text)


def test_variables_that_double_each_other_stay_bounded_and_become_unknown() -> None:
    doubling = "".join("ENV A=$A$A\n" for _ in range(100))
    image = read_dockerfile(f"FROM scratch\nENV A=0123456789\n{doubling}LABEL a=$A\n")
    assert image.labels["a"].value is None


def test_deep_nesting_is_refused_and_not_followed() -> None:
    assert len(read_dockerfile("FROM scratch\nLABEL a=" + "${b:-" * 5000 + "}" * 5000).problems) == 1
    deep = read_dockerfile("FROM scratch\nCMD " + "[" * 100_000)
    assert deep.cmd is not None and deep.cmd.value[0] == "/bin/sh"


pieces = st.sampled_from(
    ["FROM scratch", "FROM a AS b", "FROM b", "LABEL ", "ENV ", "ARG A", "a=b", "$A", "${A:-", "}", "\\", "\n", "\n", "\n", '"', "'",
     "<<EOF", "RUN ", "EOF", "#", "# escape=`", "`", "CMD ", "[", "]", " ", "=", "\r", "é", "\t", "ONBUILD "])  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.lists(pieces, max_size=40).map("".join))
def test_any_text_gives_an_image_or_a_refusal(text: str) -> None:
    try:
        image = read_dockerfile(text)
    except BadInput:
        return
    assert isinstance(image, DockerfileImage)
    count = text.count("\n") + 1
    located = [*image.labels.values(), *image.env.values(), *image.problems, *image.unknown]
    assert all(1 <= entry.line <= count for entry in located)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z.]{1,9}", fullmatch=True),
                       st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=30), max_size=5))
def test_any_label_written_in_double_quotes_is_read_back(expected: dict[str, str]) -> None:
    escaped = {
        key: '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"' for key, value in expected.items()
    }
    assert labels("\n".join(f'LABEL "{key}"={value}' for key, value in escaped.items())) == expected
