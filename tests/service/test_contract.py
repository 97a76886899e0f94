"""The rules of the label contract v1, beyond what the 2018 parser got wrong."""

from __future__ import annotations

import pytest

from gef_registry.service.contract import MAX_LABELS, parse
from gef_registry.service.grammar import SYSTEM_DIRECTORIES
from gef_registry.service.model import PREFIX, Resources, SelfTest


def slugs(problems):
    return [problem.slug for problem in problems]


def test_a_valid_label_set_describes_its_service(valid):
    parsed = parse(valid, has_command=True)
    assert parsed.problems == ()
    assert parsed.service is not None
    assert (parsed.service.name, parsed.service.version, parsed.service.network) == ("Clone", "1.0.0", "none")
    assert [(port.name, port.path, port.type) for port in parsed.service.inputs] == [("Input data", "/input", "url")]
    assert [(port.name, port.path) for port in parsed.service.outputs] == [("Results", "/output")]


@pytest.mark.parametrize("key", ["name", "description", "version"])
def test_each_required_label_is_required(judge, key):
    (problem,) = judge({key: None})
    assert (problem.slug, problem.label) == ("required-label-missing", PREFIX + key)


@pytest.mark.parametrize("key, maximum", [("name", 120), ("description", 2000), ("input.1.name", 120),
                                          ("output.1.description", 2000)])
def test_texts_have_their_lengths(judge, key, maximum):
    assert judge({key: "x" * maximum}) == ()
    assert slugs(judge({key: "x" * (maximum + 1)})) == ["text-length"]
    assert slugs(judge({key: "  "})) == ["text-length"]


@pytest.mark.parametrize("version, meant", [
    ("v1.0.0", "1.0.0"), ("1.0.0.0", "1.0.0+0"), ("01.2", "1.2"), ("1.0-rc1", "1.0.0-rc1"), ("latest", None),
    ("1.0.0-01", "1.0.0+01"), (" 1.0", "1.0"), ("", None), ("1." + "9" * 80, None), ("１.0", None), ("version 2", "2")])
def test_a_version_that_is_none_is_found(judge, version, meant):
    (problem,) = judge({"version": version})
    assert problem.slug == "version-syntax"
    assert problem.suggestion == meant


@pytest.mark.parametrize("version", ["1", "0.1", "1.0.0", "1.0.0-alpha.1", "1.0.0-rc.1+build.5", "0"])
def test_semver_and_short_versions_are_fine(judge, version):
    assert judge({"version": version}) == ()


def test_a_service_needs_an_output(judge):
    (problem,) = judge({"output.1.name": None, "output.1.path": None})
    assert problem.slug == "no-output"


def test_a_service_needs_no_input(judge):
    assert judge({"input.1.name": None, "input.1.path": None, "input.1.type": None}) == ()


def test_an_image_needs_a_command(judge):
    (problem,) = judge({}, has_command=False)
    assert (problem.slug, problem.label) == ("no-command", "")


def test_a_port_needs_a_name(judge):
    assert slugs(judge({"output.1.name": None})) == ["port-without-name"]


@pytest.mark.parametrize("directory", SYSTEM_DIRECTORIES)
def test_neither_a_system_directory_nor_anything_inside_it_is_a_port(judge, directory):
    assert slugs(judge({"output.1.path": directory})) == ["path-in-system-directory"]
    assert slugs(judge({"output.1.path": directory + "/deep/x"})) == ["path-in-system-directory"]


@pytest.mark.parametrize("path", ["/etcetera", "/home/etc", "/var/output", "/root/output", "/usr/src/x", "/data/a b"])
def test_directories_beside_the_system_are_fine(judge, path):
    assert judge({"output.1.path": path}) == ()


def test_a_string_needs_a_file_name(judge):
    (problem,) = judge({"input.1.type": "string"})
    assert (problem.slug, problem.label) == ("filename-missing", PREFIX + "input.1.filename")


def test_a_url_has_no_file_name(judge):
    assert slugs(judge({"input.1.filename": "a.txt"})) == ["filename-without-string"]


@pytest.mark.parametrize("value, meant", [("file", "url"), ("", "url"), (" url", "url")])
def test_another_type_is_found(judge, value, meant):
    (problem,) = judge({"input.1.type": value})
    assert (problem.slug, problem.suggestion) == ("input-type-unknown", meant)


@pytest.mark.parametrize("character", ["\n", "\0", "\x1b", "\x7f", "\x85", "\u202e", "\u2066", "\u200e", "\u061c",
                                       "\u2028", "\ud800", "\ufeff", "\U000e0041", "\u200b", "\uffff", "\t"])
@pytest.mark.parametrize("key", ["name", "input.1.path", "input.1.description", "whatever"])
def test_no_value_holds_control_or_bidirectional_characters(judge, key, character):
    problems = judge({key: f"/a{character}b"})
    assert slugs(problems) == ["forbidden-character"] + ["unknown-label"] * (key == "whatever")
    assert character not in "".join((problems[0].message, problems[0].label, problems[0].suggestion or ""))


def test_a_key_with_invisible_characters_is_found_and_shown_escaped(judge):
    (problem,) = judge({"na\u202eme": "x"})
    assert (problem.slug, problem.label) == ("forbidden-character", PREFIX + "na\\u{202e}me")


def test_words_in_any_script_are_welcome(judge):
    assert judge({"name": "データ", "description": "می\u200cخواهم 👩\u200d🔬 Größe"}) == ()


def test_oci_labels_describe_the_service_and_are_held_to_the_same_characters(valid):
    oci = "org.opencontainers.image."
    labels = valid | {oci + "licenses": "Apache-2.0", oci + "authors": "A B", oci + "source": "https://example.org/x",
                      oci + "documentation": "https://example.org/d?x=1#y"}
    service = parse(labels, has_command=True).service
    assert service is not None
    assert (service.licence, service.authors) == ("Apache-2.0", "A B")
    assert (service.source, service.documentation) == ("https://example.org/x", "https://example.org/d?x=1#y")
    spoiled = parse(labels | {oci + "authors": "A\u202eB"}, has_command=True)
    assert slugs(spoiled.problems) == ["forbidden-character"]


@pytest.mark.parametrize("link", ["javascript:alert(1)", "https://u:p@example.org/", "git@github.com:a/b", "https://a b",
                                  'https://x/"onload=', "data:text/html,x"])
def test_a_link_that_is_no_web_address_is_noted_and_not_shown(valid, link):
    parsed = parse(valid | {"org.opencontainers.image.source": link}, has_command=True)
    assert [(p.slug, p.severity) for p in parsed.problems] == [("link-syntax", "low")]
    assert parsed.service is not None
    assert parsed.service.source is None


@pytest.mark.parametrize("key, value, slug, meant", [
    ("input.1.optional", "yes", "optional-value", "true"), ("input.1.optional", "TRUE", "optional-value", "true"),
    ("input.1.optional", "maybe", "optional-value", None), ("input.1.mediatype", "json", "mediatype-syntax", None),
    ("output.1.mediatype", "text/plain; charset=utf-8", "mediatype-syntax", "text/plain"),
    ("topic.1", "EDAM:3070", "topic-syntax", "http://edamontology.org/topic_3070"),
    ("topic.1", "http://edamontology.org/data_3070", "topic-syntax", "http://edamontology.org/topic_3070"),
    ("topic.1", "biology", "topic-syntax", None), ("topic.01", "http://edamontology.org/topic_3070", "port-number", PREFIX + "topic.1"),
    ("network", "Outbound", "network-value", "outbound"), ("network", "host", "network-value", None),
    ("resources.cpus", "0", "resource-value", None), ("resources.cpus", "-1", "resource-value", None),
    ("resources.cpus", "nan", "resource-value", None), ("resources.memory", "2g", "resource-value", "2GiB"),
    ("resources.memory", "512 MB", "resource-value", "512MiB"), ("resources.memory", "0", "resource-value", None),
    ("resources.memory", "9999999TiB", "resource-value", None), ("resources.gpus", "1.5", "resource-value", None),
    ("test.1.input.3", "x", "test-unknown-port", None), ("test.1.input.01", "x", "port-number", None),
    ("test.1.input.1", " ", "test-value", None), ("test.x.input.1", "a", "port-number", None),
])  # fmt: skip
def test_an_optional_label_with_a_wrong_value_is_found_and_not_used(judge, key, value, slug, meant):
    (problem,) = judge({key: value})
    assert (problem.slug, problem.suggestion) == (slug, meant)


def test_optional_labels_are_read(valid):
    digest = "0" * 64
    more = {"input.1.optional": "true", "network": "outbound", "resources.cpus": "0.5", "resources.memory": "2GiB",
            "resources.gpus": "1", "topic.2": "https://edamontology.org/topic_0080", "test.1.input.1": "https://x/y",
            "topic.1": "http://edamontology.org/topic_3070", "test.1.output.1.sha256": digest}
    parsed = parse(valid | {PREFIX + key: value for key, value in more.items()}, has_command=True)
    service = parsed.service
    assert parsed.problems == ()
    assert service is not None
    assert service.inputs[0].optional
    assert service.network == "outbound"
    assert service.resources == Resources(0.5, 2 << 30, 1)
    assert service.topics == ("http://edamontology.org/topic_3070", "https://edamontology.org/topic_0080")
    assert service.tests == (SelfTest(1, ((1, "https://x/y"),), ((1, digest),)),)


def test_a_test_leaves_out_no_required_input(judge):
    digest = {"test.1.output.1.sha256": "0" * 64}
    assert slugs(judge(digest)) == ["test-incomplete"]
    assert judge(digest | {"input.1.optional": "true"}) == ()


@pytest.mark.parametrize("digest, meant", [("A" * 64, "a" * 64), ("sha256:" + "0" * 64, "0" * 64), ("0" * 63, None)])
def test_an_expected_output_is_a_sha256(judge, digest, meant):
    (problem,) = judge({"test.1.input.1": "x", "test.1.output.1.sha256": digest})
    assert (problem.slug, problem.suggestion) == ("test-value", meant)


def test_a_topic_is_said_once(judge):
    topic = "http://edamontology.org/topic_3070"
    assert slugs(judge({"topic.1": topic, "topic.2": topic})) == ["topic-syntax"]


def test_labels_beyond_the_bounds_are_found_and_not_read(judge):
    assert slugs(judge({"n" * 300: "x"})) == ["label-bounds"]
    assert slugs(judge({"name": "x" * 5000})) == ["label-bounds"]
    problems = judge({f"zz{n}": "x" for n in range(MAX_LABELS)})
    assert "label-bounds" in slugs(problems)
    assert len(problems) <= MAX_LABELS + 1


def test_ports_nested_in_one_another_give_one_finding_each(valid):
    labels = valid | {PREFIX + f"input.{n}.path": "/a" * n for n in range(1, 400)}
    problems = parse(labels, has_command=True).problems
    assert slugs(problems).count("path-overlap") == 398


def test_all_problems_are_collected_in_one_pass_and_in_a_fixed_order(valid):
    labels = {PREFIX + "name": "", PREFIX + "version": "x", PREFIX + "input.1.path": "/etc", PREFIX + "foo": "1"}
    forward = parse(labels, has_command=False).problems
    backward = parse(dict(reversed(labels.items())), has_command=False).problems
    assert forward == backward
    assert slugs(forward) == ["required-label-missing", "text-length", "version-syntax", "no-output", "no-command",
                              "port-without-name", "path-in-system-directory", "input-type-missing", "unknown-label"]


def test_a_label_not_known_yet_counts_as_there_and_describes_nothing(valid):
    parsed = parse({**valid, PREFIX + "version": None, PREFIX + "input.1.type": None}, has_command=True)
    assert parsed.problems == ()
    assert parsed.service is None
