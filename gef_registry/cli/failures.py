"""How a command ends when something goes wrong: a message on stderr and an exit code, never a traceback.

The family of an error decides the code (`errors.py`); what nobody foresaw is 3, cannot decide, so that a bug never reads
as a verdict. `GEF_REGISTRY_DEBUG=1` shows tracebacks.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator

from gef_registry.errors import GefError
from gef_registry.policy.wording import plain

INTERRUPTED = 130
CANNOT_DECIDE = 3


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Turns whatever is raised inside into the end of the process."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _close_stdout()
        sys.exit(CANNOT_DECIDE)
    except Exception as error:
        if os.environ.get("GEF_REGISTRY_DEBUG") == "1":
            traceback.print_exc()
        sys.exit(_report(_cause(error)))


def _cause(error: BaseException) -> BaseException:
    """The first error inside a group of a task group that has only one thing to say."""
    while isinstance(error, BaseExceptionGroup):
        ours = [inner for inner in error.exceptions if isinstance(inner, GefError | BaseExceptionGroup)]
        error = (ours or list(error.exceptions))[0]
    return error


def _report(error: BaseException) -> int:
    if isinstance(error, GefError):
        lines = [f"error: {error.message}"] + ([f"hint: {error.hint}"] if error.hint else [])
        code = error.exit_code
    else:
        lines = [
            f"error: {type(error).__name__}: {error}",
            "hint: this is a fault of gef-registry; GEF_REGISTRY_DEBUG=1 shows where, please report it",
        ]
        code = CANNOT_DECIDE
    for line in "\n".join(lines).splitlines():
        sys.stderr.write(plain(line) + "\n")
    return code


def _close_stdout() -> None:
    """Whoever read our output went away; nothing may be written to it at exit either."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
