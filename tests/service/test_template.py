"""The label block of `labels init` keeps the contract it explains."""

from __future__ import annotations

import pytest

from gef_registry.errors import BadInput
from gef_registry.service.model import InputPort, OutputPort, Resources, SelfTest, Service
from gef_registry.service.precheck import check_dockerfile
from gef_registry.service.template import label_block, service_block


def test_the_default_block_passes_the_contract() -> None:
    check = check_dockerfile("FROM scratch\n" + label_block(name="My tool", description="Does it.") + 'CMD ["/tool"]\n')
    assert check.problems == ()
    assert check.image.problems == ()
    assert check.service is not None
    assert (check.service.name, check.service.version) == ("My tool", "0.1.0")


def test_a_block_says_exactly_what_it_was_asked_to_say() -> None:
    service = Service(
        'A "quoted" $name \\ with all', "It's `tricky` #1", "1.0.0-rc.1+x",
        (InputPort(1, "I", "/in", "string", "a b.txt", True, "text/plain", "D"), InputPort(9, "J", "/in9", "url")),
        (OutputPort(2, "O", "/out", "application/json", "E"),), ("http://edamontology.org/topic_3070",), "outbound",
        Resources(1.5, 1 << 30, 1), (SelfTest(1, ((1, "x $y"), (9, "https://z")), ((2, "0" * 64),)),),
        "MIT", "A", "https://example.org", "https://example.org/d",
    )  # fmt: skip
    assert check_dockerfile("FROM scratch\n" + service_block(service) + "ENTRYPOINT x\n").service == service


def test_each_label_but_the_ports_own_follows_a_comment() -> None:
    lines = label_block(name="x", description="y", licence="MIT").splitlines()
    assert sum(line.startswith("#") for line in lines) > 10
    assert all(line.startswith(("#", "LABEL ")) for line in lines)


def test_the_examples_in_the_comments_pass_as_well() -> None:
    block = label_block(name="x", description="y").replace("# LABEL", "LABEL")
    check = check_dockerfile("FROM scratch\n" + block + "CMD x\n")
    assert check.problems == ()
    assert check.service is not None and check.service.network == "outbound"


@pytest.mark.parametrize("name, version", [("", "1.0"), ("x", "one"), ("a\nRUN evil", "1.0")])
def test_words_that_break_the_contract_are_refused(name: str, version: str) -> None:
    with pytest.raises(BadInput):
        label_block(name=name, description="d", version=version)
