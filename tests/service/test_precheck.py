"""The contract asked of a Dockerfile: the findings of the image it would become, with line numbers."""

from __future__ import annotations

from pathlib import Path

from gef_registry.service.contract import parse
from gef_registry.service.precheck import check_dockerfile

DOCKERFILES = Path(__file__).parents[1] / "data" / "dockerfiles"

GOOD = """\
FROM debian:13
LABEL eudat.gef.service.name=Clone \\
      eudat.gef.service.description="Copies" \\
      eudat.gef.service.version=1.0
LABEL eudat.gef.service.output.1.name=R eudat.gef.service.output.1.path=/output
CMD ["/clone"]
"""


def found(text: str) -> list[tuple[str, int]]:
    return [(entry.value.slug, entry.line) for entry in check_dockerfile(text).problems]


def test_the_dockerfile_of_the_slides_has_neither_labels_nor_a_command() -> None:
    text = (DOCKERFILES / "slides" / "Dockerfile").read_text()
    check = check_dockerfile(text)
    assert found(text) == [("not-a-gef-service", 2), ("no-command", 2)]
    assert check.service is None
    assert check.image.problems == ()
    assert check.image.base == "ubuntu"
    assert check.image.user is None


def test_a_good_dockerfile_describes_its_service() -> None:
    check = check_dockerfile(GOOD)
    assert check.problems == ()
    assert check.service is not None
    assert check.service.outputs[0].path == "/output"


def test_problems_carry_the_line_of_their_label_and_come_in_the_order_of_lines() -> None:
    text = GOOD.replace("version=1.0", "version=one").replace("/output", "/etc/x") + "LABEL eudat.gef.service.Network=none\n"
    assert found(text) == [("version-syntax", 4), ("path-in-system-directory", 5), ("wrong-case", 7)]


def test_something_missing_has_the_line_of_the_port_it_belongs_to_else_of_from() -> None:
    text = GOOD.replace("eudat.gef.service.output.1.name=R ", "").replace("LABEL eudat.gef.service.name=Clone", "LABEL x=y")
    assert found(text) == [("required-label-missing", 1), ("port-without-name", 5)]


def test_the_findings_are_those_of_the_built_image() -> None:
    text = GOOD.replace("version=1.0", "version=one")
    image = check_dockerfile(text).image
    labels = {key: label.value for key, label in image.labels.items()}
    built = parse(labels, has_command=True).problems
    assert [entry.value for entry in check_dockerfile(text).problems] == list(built)


def test_a_version_given_at_build_time_is_unknown_and_no_finding() -> None:
    check = check_dockerfile(GOOD.replace("version=1.0", "version=$VERSION"))
    assert check.problems == ()
    assert check.service is None
    assert any("version" in note.message for note in check.image.unknown)


def test_where_a_key_is_unknown_nothing_is_called_missing() -> None:
    text = "FROM debian:13\nARG K\nLABEL $K=x\nLABEL eudat.gef.service.version=one\n"
    assert found(text) == [("no-command", 1), ("version-syntax", 4)]
