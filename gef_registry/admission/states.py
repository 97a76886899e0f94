"""The life of a submission, as a table. Start reading here.

    received ─► judging ─┬► denied                                   (policy says no)
                         ├► undecided                                (policy could not say: never yes)
                         ├► waiting ─┬► rejected                     (a reviewer says no)
                         │           └► approved                     (enough reviewers say yes)
                         └► approved ─► reserved ─► signed ─► logged ─► admitted ─► revoked
                                  └► conflict  (the name means another digest)

What is not in the table cannot happen. From *approved* on there is no way back: each step is re-run after a crash by the
same code until it has happened, and what is *logged* is published or revoked.
"""

from __future__ import annotations

import enum

from gef_registry.errors import Conflict


class State(enum.StrEnum):
    RECEIVED = "received"
    JUDGING = "judging"
    WAITING = "waiting"
    APPROVED = "approved"
    RESERVED = "reserved"
    SIGNED = "signed"
    LOGGED = "logged"
    ADMITTED = "admitted"
    DENIED = "denied"
    UNDECIDED = "undecided"
    REJECTED = "rejected"
    CONFLICT = "conflict"
    REVOKED = "revoked"


class Event(enum.StrEnum):
    CLAIMED = "claimed"
    RELEASED = "released"
    PASSED = "passed"
    NEEDS_REVIEW = "needs_review"
    REFUSED = "refused"
    NOT_DECIDED = "not_decided"
    APPROVAL = "approval"
    REJECTION = "rejection"
    NAME_RESERVED = "name_reserved"
    NAME_TAKEN = "name_taken"
    STATEMENTS_SIGNED = "statements_signed"
    STATEMENTS_LOGGED = "statements_logged"
    PUBLISHED = "published"
    REVOCATION = "revocation"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.RECEIVED, Event.CLAIMED): State.JUDGING,
    (State.RECEIVED, Event.NAME_TAKEN): State.CONFLICT,
    (State.JUDGING, Event.RELEASED): State.RECEIVED,
    (State.JUDGING, Event.PASSED): State.APPROVED,
    (State.JUDGING, Event.NEEDS_REVIEW): State.WAITING,
    (State.JUDGING, Event.REFUSED): State.DENIED,
    (State.JUDGING, Event.NOT_DECIDED): State.UNDECIDED,
    (State.WAITING, Event.APPROVAL): State.APPROVED,
    (State.WAITING, Event.REJECTION): State.REJECTED,
    (State.WAITING, Event.NAME_TAKEN): State.CONFLICT,
    (State.APPROVED, Event.NAME_RESERVED): State.RESERVED,
    (State.APPROVED, Event.NAME_TAKEN): State.CONFLICT,
    (State.RESERVED, Event.STATEMENTS_SIGNED): State.SIGNED,
    (State.SIGNED, Event.STATEMENTS_LOGGED): State.LOGGED,
    (State.LOGGED, Event.PUBLISHED): State.ADMITTED,
    # A revocation that arrives on the way ends the way: nothing is published after it.
    (State.APPROVED, Event.REVOCATION): State.REVOKED,
    (State.RESERVED, Event.REVOCATION): State.REVOKED,
    (State.SIGNED, Event.REVOCATION): State.REVOKED,
    (State.LOGGED, Event.REVOCATION): State.REVOKED,
    (State.ADMITTED, Event.REVOCATION): State.REVOKED,
}

FINAL = frozenset(State) - {state for state, _ in TRANSITIONS}
# Work that a worker picks up by itself: waiting for a judge, or on the way to being admitted.
RUNNABLE = (State.RECEIVED, State.APPROVED, State.RESERVED, State.SIGNED, State.LOGGED)
# A push of the same digest under the same name joins a submission in one of these states rather than start another.
ACTIVE = frozenset({*RUNNABLE, State.JUDGING, State.WAITING})
# A client that waits hears its answer in one of these.
ANSWERABLE = frozenset(State) - {State.JUDGING, *RUNNABLE}


def next_state(state: State, event: Event) -> State:
    """Where `event` leads from `state`. Raises Conflict for what cannot happen."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        possible = ", ".join(sorted(e.value for s, e in TRANSITIONS if s is state)) or "nothing: it is final"
        raise Conflict(f"a submission that is {state} cannot take {event}; possible: {possible}") from None
