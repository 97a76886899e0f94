"""Properties of the contract: round trips, hostile labels, and that each defect is seen in any valid label set."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gef_registry.service.contract import parse
from gef_registry.service.describe import describe, to_labels
from gef_registry.service.model import PREFIX, InputPort, OutputPort, Resources, SelfTest, Service, has_forbidden

moderate = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)

texts = st.text(min_size=1, max_size=40).map(str.strip).filter(lambda t: t != "" and not has_forbidden(t))
maybe_text = st.none() | texts
mediatypes = st.none() | st.from_regex(r"[a-z]{1,8}/[a-z][a-z0-9.+-]{0,8}", fullmatch=True)
versions = st.from_regex(r"[1-9][0-9]?(\.[1-9]?[0-9](\.[0-9](-rc\.[1-9])?)?)?", fullmatch=True)
topics = st.from_regex(r"https?://edamontology\.org/topic_[0-9]{4}", fullmatch=True)
links = st.none() | st.from_regex(r"https://[a-z]{1,9}\.org/[a-z/]{0,9}", fullmatch=True)
numbers = st.lists(st.integers(1, 99), max_size=3, unique=True).map(sorted)


@st.composite
def services(draw: st.DrawFn) -> Service:
    inputs = tuple(draw(_input(n)) for n in draw(numbers))
    outputs = tuple(
        OutputPort(n, draw(texts), f"/out{n}", draw(mediatypes), draw(maybe_text)) for n in draw(numbers.filter(bool))
    )
    tests = tuple(
        SelfTest(n, tuple((p.number, draw(texts)) for p in inputs), tuple((p.number, f"{n:064x}") for p in outputs))
        for n in draw(numbers)
    )
    resources = Resources(
        draw(st.none() | st.integers(1, 9_999_999).map(lambda n: n / 1000)),
        draw(st.none() | st.integers(1, 1 << 50)),
        draw(st.none() | st.integers(0, 99)),
    )
    return Service(
        draw(texts), draw(texts), draw(versions), inputs, outputs,
        tuple(draw(st.lists(topics, max_size=3, unique=True))), draw(st.sampled_from(["none", "outbound"])), resources,
        tests, draw(maybe_text), draw(maybe_text), draw(links), draw(links),
    )  # fmt: skip


def _input(number: int) -> st.SearchStrategy[InputPort]:
    kind = st.sampled_from([("url", None), ("string", "data.txt"), ("string", "größe.csv")])
    return st.builds(
        lambda name, kind, optional, mediatype, description: InputPort(
            number, name, f"/in/{number}", kind[0], kind[1], optional, mediatype, description
        ),
        texts, kind, st.booleans(), mediatypes, maybe_text,
    )  # fmt: skip


@pytest.mark.slow
@moderate
@given(services())
def test_the_labels_of_any_valid_service_describe_it_again_without_problems(service: Service) -> None:
    parsed = parse(to_labels(service), has_command=True)
    assert parsed.problems == ()
    assert parsed.service == service
    assert describe(parsed.service) == describe(service)


DEFECTS = {
    "name": ("", "x" * 121, "a\u202eb"),
    "description": ("", "x" * 2001, "line\nline"),
    "version": ("one", "1.0.0.0", "v1"),
    "network": ("host", "NONE"),
    "resources.memory": ("lots", "1GB"),
    "topic.1": ("topic_0001",),
    "topic.100": ("http://edamontology.org/topic_3070",),
    "output.01.path": ("/elsewhere",),
    "output.x.path": ("/elsewhere",),
    "input.98": ("/x",),
    "input.98.path": ("relative", "/", "/etc/passwd", "/a:b", "/a/../b"),
    "input.98.type": ("file",),
    "input.98.filename": ("../x",),
    "Name": ("x",),
    "name.evil": ("x",),
    "input_directory.path": ("/x",),
    "licence": ("MIT",),
    "test.1.input.97.": ("x",),
    "output.99.name": ("n\0",),
}
REMOVALS = ("name", "description", "version")


@moderate
@given(services(), st.data())
def test_each_defect_is_seen_in_any_valid_label_set(service: Service, data: st.DataObject) -> None:
    labels = to_labels(service)
    key = data.draw(st.sampled_from([*DEFECTS, *REMOVALS]))
    if key in DEFECTS and (key not in REMOVALS or data.draw(st.booleans())):
        labels[PREFIX + key] = data.draw(st.sampled_from(DEFECTS[key]))
    else:
        del labels[PREFIX + key]
    assert parse(labels, has_command=True).problems


@pytest.mark.slow
@moderate
@given(services(), st.data())
def test_a_port_that_loses_a_required_label_is_seen(service: Service, data: st.DataObject) -> None:
    labels = to_labels(service)
    required = [k for k in labels if k.startswith((PREFIX + "input.", PREFIX + "output."))
                and k.endswith((".name", ".path", ".type", ".filename"))]  # fmt: skip
    del labels[data.draw(st.sampled_from(required))]
    parsed = parse(labels, has_command=True)
    assert parsed.problems
    assert parsed.service is None


fragments = st.sampled_from(
    ["input", "output", "test", "1", "01", "0", "x", "name", "path", "type", "Path", "sha256", "topic", "", "é", "\x00",
     "resources", "memory", "input_port", "٣", "K", "\ud800", "9" * 50, "İ"])  # fmt: skip
keys = st.lists(fragments, max_size=6).map(lambda parts: PREFIX + ".".join(parts)) | st.text(max_size=30)
values = st.text(max_size=30) | st.sampled_from(["/a", "/a/b", "url", "string", "/etc", "1.0", "true", "x" * 5000])


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(keys, values, max_size=12), st.booleans())
def test_any_labels_at_all_give_a_service_or_reasons_safe_to_print(labels: dict[str, str], command: bool) -> None:
    parsed = parse(labels, has_command=command)
    assert (parsed.service is None) == any(problem.severity == "high" for problem in parsed.problems)
    for problem in parsed.problems:
        assert not has_forbidden(problem.message + problem.label + (problem.suggestion or ""))
    assert parse(dict(reversed(labels.items())), has_command=command) == parsed


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(keys, values, max_size=12))
def test_what_is_described_is_valid_by_its_own_labels(labels: dict[str, str]) -> None:
    service = parse(labels, has_command=True).service
    if service is not None:
        assert parse(to_labels(service), has_command=True).service == service
