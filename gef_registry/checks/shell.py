"""Shell command lines as words, commands and pipelines: as much of POSIX sh and bash as build steps use.

Quoting and comments are honoured: what stands in quotes is one word, whatever it says. `$(…)`, `` `…` ``, `<(…)` are
kept with their word as scripts of their own. Never runs anything; bounded in length and depth; text that is no valid
shell gives its best reading.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_LENGTH = 64 << 10
MAX_DEPTH = 5
_SEPARATORS = frozenset(";&|\n(){}")
_BLANK = frozenset(" \t\r")


@dataclass(frozen=True, slots=True)
class Word:
    """One word without its quotes; `scripts` are the command substitutions in it, `quoted` if any of it was quoted."""

    text: str
    scripts: tuple[Script, ...] = ()
    quoted: bool = False
    is_process: bool = False  # <(…): the output of a command under a file name


@dataclass(frozen=True, slots=True)
class Command:
    """A simple command: its words, without redirections' operators (their targets stay as words)."""

    words: tuple[Word, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(word.text for word in self.words)


Pipeline = tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """Pipelines in order."""

    pipelines: tuple[Pipeline, ...]

    def commands(self) -> list[Command]:
        """Every command, also those inside substitutions, in no particular order."""
        found: list[Command] = []
        pending = [self]
        while pending:
            script = pending.pop()
            for pipeline in script.pipelines:
                for command in pipeline:
                    found.append(command)
                    pending.extend(inner for word in command.words for inner in word.scripts)
        return found

    def every_pipeline(self) -> list[Pipeline]:
        """Every pipeline, also those inside substitutions."""
        inner = [s for command in self.commands() for word in command.words for s in word.scripts]
        return [*self.pipelines, *(pipeline for script in inner for pipeline in script.pipelines)]


def parse(text: str, depth: int = 0) -> Script:
    """Reads a script; what is longer or deeper than the bounds is left out."""
    return _Reader(text[:MAX_LENGTH], depth).script()


@dataclass(slots=True)
class _Reader:
    text: str
    depth: int
    at: int = 0
    pipelines: list[Pipeline] = field(default_factory=list)
    pipeline: list[Command] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)

    def script(self) -> Script:
        while self.at < len(self.text):
            character = self.text[self.at]
            if character in _BLANK:
                self.at += 1
            elif character == "#":
                self._skip_comment()
            elif self.text.startswith("\\\n", self.at):
                self.at += 2
            elif character in _SEPARATORS:
                self._separator(character)
            elif character in "<>" and not self.text.startswith(("<(", ">("), self.at):
                self.at += 1
            else:
                self.words.append(self._word())
        self._end_pipeline()
        return Script(tuple(self.pipelines))

    def _separator(self, character: str) -> None:
        following = self.text[self.at + 1 : self.at + 2]
        if character == "&" and (following == ">" or self.text[self.at - 1 : self.at] == ">"):
            self.at += 1  # 2>&1, &>file: a redirection
        elif character == "|" and following != "|":
            self._end_command()
            self.at += 2 if following == "&" else 1
        else:
            self._end_pipeline()
            self.at += 1

    def _end_command(self) -> None:
        if self.words:
            self.pipeline.append(Command(tuple(self.words)))
            self.words = []

    def _end_pipeline(self) -> None:
        self._end_command()
        if self.pipeline:
            self.pipelines.append(tuple(self.pipeline))
            self.pipeline = []

    def _skip_comment(self) -> None:
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end

    def _word(self) -> Word:
        out: list[str] = []
        scripts: list[Script] = []
        quoted = is_process = False
        while self.at < len(self.text):
            character = self.text[self.at]
            if self.text.startswith(("<(", ">("), self.at):
                is_process = True
                scripts.append(self._substitution(2))
            elif character in _BLANK or (character in _SEPARATORS and character not in "{}") or character in "<>":
                break
            elif character == "'":
                quoted = True
                out.append(self._single_quoted())
            elif character == '"':
                quoted = True
                self.at += 1
                self._double_quoted(out, scripts)
            else:
                self._plain(character, out, scripts)
        return Word("".join(out), tuple(scripts), quoted, is_process)

    def _plain(self, character: str, out: list[str], scripts: list[Script]) -> None:
        if character == "\\":
            following = self.text[self.at + 1 : self.at + 2]
            out.append("" if following == "\n" else following)
            self.at += 2
        elif self.text.startswith("$(", self.at):
            scripts.append(self._substitution(2))
        elif character == "`":
            scripts.append(self._backquoted())
        elif self.text.startswith("${", self.at):
            end = self.text.find("}", self.at)
            end = len(self.text) if end < 0 else end + 1
            out.append(self.text[self.at : end])
            self.at = end
        else:
            out.append(character)
            self.at += 1

    def _single_quoted(self) -> str:
        end = self.text.find("'", self.at + 1)
        end = len(self.text) if end < 0 else end
        inner = self.text[self.at + 1 : end]
        self.at = end + 1
        return inner

    def _double_quoted(self, out: list[str], scripts: list[Script]) -> None:
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == '"':
                self.at += 1
                return
            if character == "\\" and self.text[self.at + 1 : self.at + 2] not in ('"', "\\", "$", "`", "\n"):
                out.append(character)
                self.at += 1
            else:
                self._plain(character, out, scripts)

    def _substitution(self, opening: int) -> Script:
        """The script between parentheses, which nest; quotes inside are skipped over."""
        start = self.at + opening
        level, position, quote = 1, start, ""
        while position < len(self.text) and level:
            character = self.text[position]
            if character == "\\" and quote != "'":
                position += 1
            elif quote:
                quote = "" if character == quote else quote
            elif character in "'\"":
                quote = character
            elif character in "()":
                level += 1 if character == "(" else -1
            position += 1
        self.at = position
        return self._inner(self.text[start : position - 1 if level == 0 else position])

    def _backquoted(self) -> Script:
        end = self.text.find("`", self.at + 1)
        end = len(self.text) if end < 0 else end
        inner = self.text[self.at + 1 : end]
        self.at = end + 1
        return self._inner(inner)

    def _inner(self, text: str) -> Script:
        return parse(text, self.depth + 1) if self.depth < MAX_DEPTH else Script(())
