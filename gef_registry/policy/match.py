"""Globs over repository names and file paths, and which of a policy's repository rules counts for a name.

`*` stands for anything but a slash, `**` for anything, `?` for one character that is no slash; everything else for
itself. The most specific glob that fits a name counts: the one with most literal characters. Two globs that are
equally specific and can fit the same name are a tie; `ties` finds them, so that loading a policy refuses them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType

from gef_registry.policy.model import Policy, RepositoryRules

MAX_GLOB = 255
_TOKEN = re.compile(r"\*\*|\*|\?|[^*?]", re.DOTALL)
_STARS = frozenset({"*", "**"})
_WILD = frozenset({"*", "**", "?"})


def fits(glob: str, text: str) -> bool:
    """Does the whole text fit the glob? Takes time in proportion to both lengths, whatever the stars."""
    tokens = _tokens(glob)
    states = _past_stars({0}, tokens)
    for character in text:
        moved = {
            state if tokens[state] in _STARS else state + 1
            for state in states
            if state < len(tokens) and _accepts(tokens[state], character)
        }
        states = _past_stars(moved, tokens)
        if not states:
            return False
    return len(tokens) in states


def specificity(glob: str) -> int:
    """How many characters stand for themselves."""
    return sum(token not in _WILD for token in _tokens(glob))


def narrows(glob: str) -> bool:
    """Does the glob say anything at all, that is, name at least one literal letter or digit?"""
    return any(character.isalnum() for character in glob)


def ties(globs: Iterable[str]) -> tuple[str, str] | None:
    """Two equally specific globs that can fit one name, if there are any."""
    known = list(globs)
    for position, first in enumerate(known):
        for second in known[position + 1 :]:
            if specificity(first) == specificity(second) and intersect(first, second):
                return first, second
    return None


def intersect(first: str, second: str) -> bool:
    """Is there a text that fits both globs?"""
    left, right = _tokens(first), _tokens(second)
    seen: set[tuple[int, int]] = set()
    pending = [(0, 0)]
    while pending:
        state = pending.pop()
        if state in seen:
            continue
        seen.add(state)
        a, b = (left[state[0]] if state[0] < len(left) else None), (right[state[1]] if state[1] < len(right) else None)
        if a is None and b is None:
            return True
        pending += _steps(state, a, b)
    return False


def effective(policy: Policy, repository: str | None) -> Policy:
    """The policy with the rules of one repository merged in; without a repository, the policy as it stands."""
    chosen = rules_for(policy, repository)
    if chosen is None:
        return policy
    return replace(
        policy,
        rules=MappingProxyType({**policy.rules, **chosen.rules}),
        approvals=policy.approvals if chosen.approvals is None else chosen.approvals,
    )


def rules_for(policy: Policy, repository: str | None) -> RepositoryRules | None:
    """The most specific repository rules that fit a name; the policy was loaded, so there is no tie."""
    if repository is None:
        return None
    fitting = [rules for rules in policy.repositories if fits(rules.repository, repository)]
    return max(fitting, key=lambda rules: specificity(rules.repository), default=None)


@functools.lru_cache(maxsize=256)
def _tokens(glob: str) -> tuple[str, ...]:
    """`a`, `?`, `*`, `**`"""
    return tuple(_TOKEN.findall(glob))


def _past_stars(states: set[int], tokens: tuple[str, ...]) -> set[int]:
    """The states and those reached from them by letting stars stand for nothing."""
    reached = set(states)
    for state in states:
        while state < len(tokens) and tokens[state] in _STARS:
            state += 1
            reached.add(state)
    return reached


def _steps(state: tuple[int, int], a: str | None, b: str | None) -> list[tuple[int, int]]:
    """Where two globs can go from one pair of places: past a star, or on by one character both accept."""
    i, j = state
    steps = []
    if a in _STARS:
        steps.append((i + 1, j))
    if b in _STARS:
        steps.append((i, j + 1))
    if a is not None and b is not None and _share_a_character(a, b):
        steps.append((i if a in _STARS else i + 1, j if b in _STARS else j + 1))
    return steps


def _accepts(token: str, character: str) -> bool:
    """Can a token stand for this character of a text?"""
    return token == "**" or (character != "/" if token in _WILD else token == character)


def _share_a_character(a: str, b: str) -> bool:
    """Is there a character that both tokens can stand for?"""
    if a in _WILD and b in _WILD:
        return True
    return _accepts(a, b) if a in _WILD else _accepts(b, a)
