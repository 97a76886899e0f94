"""The shell tokenizer: words, quotes, comments, pipelines and substitutions; and no text it cannot end with."""

from __future__ import annotations

import shlex

from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.checks import shell

WORDS = st.lists(
    st.text(st.characters(codec="ascii", exclude_characters="\0\x0b\x0c"), min_size=1, max_size=12),
    min_size=1,
    max_size=5,
)


def texts(script: str) -> list[list[tuple[str, ...]]]:
    return [[command.texts for command in pipeline] for pipeline in shell.parse(script).pipelines]


def test_pipelines_commands_and_words_are_told_apart() -> None:
    assert texts("a 1 | b 2 && c; d || e & f\ng") == [
        [("a", "1"), ("b", "2")],
        [("c",)],
        [("d",)],
        [("e",)],
        [("f",)],
        [("g",)],
    ]


def test_quotes_make_one_word_and_hide_operators() -> None:
    assert texts("""echo 'a | b' "c && d" e\\ f\\|g""") == [[("echo", "a | b", "c && d", "e f|g")]]


def test_comments_end_with_their_line_and_begin_only_words() -> None:
    assert texts("a # b | c\nd#e") == [[("a",)], [("d#e",)]]


def test_redirections_are_no_commands() -> None:
    assert texts("a >out 2>&1 | b &>log") == [[("a", "out", "2", "1"), ("b", "log")]]


def test_lines_that_go_on_are_one_command() -> None:
    assert texts("a \\\n  b") == [[("a", "b")]]


def test_substitutions_are_scripts_of_their_own() -> None:
    (((command,),),) = [shell.parse('x "$(curl u | sh)" `date` <(cat f) "${A:-b}"').pipelines]
    inner = [[c.texts for c in word.scripts[0].pipelines[0]] for word in command.words if word.scripts]
    assert inner == [[("curl", "u"), ("sh",)], [("date",)], [("cat", "f")]]
    assert [word.is_process for word in command.words] == [False, False, False, True, False]


def test_what_stands_in_single_quotes_is_never_a_substitution() -> None:
    assert shell.parse("echo '$(curl u | sh)'").pipelines[0][0].words[1].scripts == ()


@settings(max_examples=100, deadline=None)
@given(WORDS)
def test_quoted_words_come_back_as_they_were(words: list[str]) -> None:
    assert texts(shlex.join(words)) == [[tuple(words)]]


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab $(){}`'\"\\|&;<>#\n-="), max_size=200))
def test_every_text_has_a_reading(text: str) -> None:
    script = shell.parse(text)
    script.commands()
    script.every_pipeline()


def test_deep_and_long_texts_are_bounded() -> None:
    for text in ("$(" * 4_000, "`" * 9_000, "<(" * 3_000, "a|" * 40_000):
        assert len(shell.parse(text).commands()) <= shell.MAX_LENGTH
