"""The label contract asked of a Dockerfile, before its image exists: the same problems, with line numbers."""

from __future__ import annotations

from dataclasses import dataclass

from gef_registry.service.catalogue import BY_ID, NO_COMMAND, NO_OUTPUT
from gef_registry.service.contract import parse
from gef_registry.service.dockerfile import DockerfileImage, Located, read_dockerfile
from gef_registry.service.model import PREFIX, LabelProblem, Service, printable


@dataclass(frozen=True, slots=True)
class Precheck:
    """What a Dockerfile says. `service` is None when there are problems, or when parts are not known yet."""

    image: DockerfileImage
    service: Service | None
    problems: tuple[Located[LabelProblem], ...]


def check_dockerfile(text: str) -> Precheck:
    """Reads a Dockerfile and judges its labels, in the order of its lines. Raises BadInput when it is none.

    Where the key of a label is not known before the build, nothing is said to be missing. A problem about the
    whole image, or about something missing, has the line of the nearest related label, else of the last FROM.
    """
    image = read_dockerfile(text)
    parsed = parse({key: label.value for key, label in image.labels.items()}, has_command=image.has_command)
    lines = {printable(key, limit=256): label.line for key, label in image.labels.items()}
    located = [
        Located(problem, _line(problem, lines, image.from_line))
        for problem in parsed.problems
        if image.labels_complete or problem.code == NO_COMMAND.id or not BY_ID[problem.code].by_absence
    ]
    located.sort(key=lambda entry: (entry.line, entry.value.code, entry.value.label))
    return Precheck(image, parsed.service if image.labels_complete else None, tuple(located))


def _line(problem: LabelProblem, lines: dict[str, int], from_line: int) -> int:
    if problem.label in lines:
        return lines[problem.label]
    if not problem.label or problem.code == NO_OUTPUT.id:
        return from_line
    stem = problem.label.rpartition(".")[0] + "."
    related = [line for key, line in lines.items() if key.startswith(stem) and stem != PREFIX]
    return min(related, default=from_line)
