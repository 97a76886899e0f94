"""The table of states: what can happen to a submission, and what never can."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gef_registry.admission.states import ACTIVE, ANSWERABLE, FINAL, RUNNABLE, TRANSITIONS, Event, State, next_state
from gef_registry.errors import Conflict


def test_final_states_take_no_event() -> None:
    for state in FINAL:
        for event in Event:
            with pytest.raises(Conflict):
                next_state(state, event)


def test_the_final_states_are_the_ones_a_submission_ends_in() -> None:
    assert {State.DENIED, State.UNDECIDED, State.REJECTED, State.CONFLICT, State.REVOKED} == FINAL


def test_admitted_is_reached_only_through_every_step() -> None:
    assert {s for (s, _), t in TRANSITIONS.items() if t is State.ADMITTED} == {State.LOGGED}
    assert {s for (s, _), t in TRANSITIONS.items() if t is State.LOGGED} == {State.SIGNED}
    assert {s for (s, _), t in TRANSITIONS.items() if t is State.SIGNED} == {State.RESERVED}
    assert {s for (s, _), t in TRANSITIONS.items() if t is State.RESERVED} == {State.APPROVED}
    assert {s for (s, _), t in TRANSITIONS.items() if t is State.APPROVED} == {State.JUDGING, State.WAITING}


def test_p3_unknown_is_never_yes() -> None:
    assert next_state(State.JUDGING, Event.NOT_DECIDED) is State.UNDECIDED
    assert State.UNDECIDED in FINAL


def test_every_state_either_runs_waits_or_answers() -> None:
    assert set(State) == ANSWERABLE | set(RUNNABLE) | {State.JUDGING}
    assert State.WAITING in ACTIVE and State.WAITING in ANSWERABLE


@given(st.lists(st.sampled_from(list(Event)), max_size=30))
def test_no_sequence_of_events_reaches_admitted_without_judgement_and_log(events: list[Event]) -> None:
    state, taken = State.RECEIVED, []
    for event in events:
        try:
            state = next_state(state, event)
        except Conflict:
            continue
        taken.append(event)
    if state is State.ADMITTED:
        assert Event.PASSED in taken or Event.APPROVAL in taken
        assert taken[-4:] == [
            Event.NAME_RESERVED,
            Event.STATEMENTS_SIGNED,
            Event.STATEMENTS_LOGGED,
            Event.PUBLISHED,
        ]


@given(st.sampled_from(list(State)), st.sampled_from(list(Event)))
def test_what_is_logged_goes_forward_or_is_revoked(state: State, event: Event) -> None:
    if state is State.LOGGED and (state, event) in TRANSITIONS:
        assert next_state(state, event) in (State.ADMITTED, State.REVOKED)


def test_the_refusal_says_what_is_possible() -> None:
    with pytest.raises(Conflict, match=r"waiting cannot take published; possible: approval, name_taken, rejection"):
        next_state(State.WAITING, Event.PUBLISHED)
