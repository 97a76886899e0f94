"""Every odd case of the 2018 label parser has a finding: one test for each, named after what that parser did."""

from __future__ import annotations

import pytest

from gef_registry.service.contract import parse
from gef_registry.service.model import PREFIX


def slugs(problems):
    return [problem.slug for problem in problems]


def test_an_image_without_labels_gives_one_finding_where_it_was_accepted_nameless():
    parsed = parse({}, has_command=True)
    assert parsed.service is None
    assert [(p.code, p.slug) for p in parsed.problems] == [("LBL-001", "not-a-gef-service")]


def test_labels_of_others_do_not_make_a_service():
    labels = {"org.opencontainers.image.title": "x", "maintainer": "y", "eudat.geforce": "z"}
    assert slugs(parse(labels, has_command=True).problems) == ["not-a-gef-service"]


def test_an_input_without_type_is_found_before_every_job_of_it_fails(judge):
    (problem,) = judge({"input.1.type": None})
    assert (problem.slug, problem.label, problem.suggestion) == (
        "input-type-missing", PREFIX + "input.1.type", "url")


@pytest.mark.parametrize("key, meant", [
    ("Name", "name"), ("input.1.Path", "input.1.path"), ("INPUT.1.path", "input.1.path"), ("name ", "name")])
def test_a_key_in_another_case_was_ignored_and_is_one_finding(judge, key, meant):
    (problem,) = judge({meant: None, key: "/data"})
    assert (problem.slug, problem.suggestion) == ("wrong-case", PREFIX + meant)


def test_a_prefix_in_another_case_was_no_gef_label_and_is_one_finding(judge):
    (problem,) = judge({"name": None, ":EUDAT.gef.service.name": "Clone"})
    assert (problem.slug, problem.suggestion) == ("wrong-case", PREFIX + "name")


def test_a_key_in_wrong_case_beside_the_right_one_changes_nothing_and_is_found(judge, valid):
    assert slugs(judge({"NAME": "Evil"})) == ["wrong-case"]


@pytest.mark.parametrize("value", ["STRING", "String", "string"])
def test_type_values_are_compared_in_any_case(judge, value):
    assert judge({"input.1.type": value, "input.1.filename": "a.txt"}) == ()


def test_gaps_in_the_numbering_are_legal_and_numbers_are_kept(valid):
    labels = valid | {PREFIX + "input.7.name": "B", PREFIX + "input.7.path": "/b", PREFIX + "input.7.type": "Url"}
    service = parse(labels, has_command=True).service
    assert service is not None
    assert [(port.number, port.type) for port in service.inputs] == [(1, "url"), (7, "url")]


@pytest.mark.parametrize("spelling", ["data", "0", "300", "-1", "100", "1e1", "", " 2x", "9" * 200, "²"])
def test_a_port_number_that_went_to_port_0_or_255_is_found(judge, spelling):
    problems = judge({f"input.{spelling}.{a}": v for a, v in [("name", "B"), ("path", "/b"), ("type", "url")]})
    assert slugs(problems) == ["port-number"]
    assert problems[0].suggestion is not None


@pytest.mark.parametrize("spelling", ["02", "+2", "٢", "２", "0002"])
def test_another_spelling_of_a_number_is_found_with_the_plain_one_as_suggestion(judge, spelling):
    (problem,) = judge({f"input.{spelling}.{a}": v for a, v in [("name", "B"), ("path", "/b"), ("type", "url")]})
    assert problem.slug == "port-number"
    assert problem.suggestion == PREFIX + "input.2.name"


def test_a_wrongly_numbered_output_does_not_also_count_as_missing(judge):
    problems = judge({"output.1.name": None, "output.1.path": None, "output.0.name": "R", "output.0.path": "/r"})
    assert slugs(problems) == ["port-number"]


def test_a_word_and_port_0_collided_and_are_two_findings(judge):
    assert slugs(judge({"input.data.path": "/a", "input.0.path": "/b"})).count("port-number") == 2


def test_two_spellings_of_one_port_raced_and_are_found(judge):
    problems = judge({"input.01.path": "/elsewhere"})
    assert slugs(problems) == ["port-number", "port-spelled-twice"]
    assert problems[1].suggestion == PREFIX + "input.1.path"


def test_two_wrong_spellings_of_one_port_are_found_too(judge):
    assert slugs(judge({"input.02.path": "/a", "input.002.path": "/b"})).count("port-spelled-twice") == 1


def test_a_port_without_path_was_dropped_silently_and_is_found(judge):
    (problem,) = judge({"input.2.name": "Second", "input.2.type": "url"})
    assert (problem.slug, problem.label) == ("port-without-path", PREFIX + "input.2.path")


@pytest.mark.parametrize("key, meant", [("name.evil", "name"), ("input.1.path.x", "input.1.path"), ("name.", "name"),
                                        ("output.1.name.a.b", "output.1.name"), ("topic.1.x", "topic.1")])
def test_extra_components_overrode_at_random_and_are_found(judge, key, meant):
    (problem,) = judge({key: "B"})
    assert (problem.slug, problem.suggestion) == ("extra-component", PREFIX + meant)


@pytest.mark.parametrize("key, meant", [("input", "input.1.path"), ("input.1", "input.1.path"), ("test.1.output.1", "test.1.output.1.sha256"),
                                        ("output.3", "output.3.path"), ("resources", "resources.memory"), ("topic", "topic.1")])
def test_a_key_that_stops_early_was_only_logged_and_is_found(judge, key, meant):
    (problem,) = judge({key: "/y"})
    assert (problem.slug, problem.suggestion) == ("incomplete-key", PREFIX + meant)


@pytest.mark.parametrize("key, meant", [
    ("input_directory.path", "input.1.path"), ("output_directory.path", "output.1.path"),
    ("input_ports_no", "input.1.path"), ("output_ports_no", "output.1.path"), ("input_port.2.name", "input.2.name"),
    ("input_port.%u.name", "input.1.name"), ("output_port.name", "output.1.name")])
def test_each_historic_dialect_was_never_read_and_has_its_own_suggestion(judge, key, meant):
    (problem,) = judge({key: "/y"})
    assert (problem.slug, problem.suggestion) == ("historic-dialect", PREFIX + meant)


@pytest.mark.parametrize("key, meant", [
    ("author", "org.opencontainers.image.authors"), ("licence", "org.opencontainers.image.licenses"),
    ("source", "org.opencontainers.image.source"), ("documentation", "org.opencontainers.image.documentation"),
    ("desciption", PREFIX + "description"), ("inputs.2.path", PREFIX + "input.2.path"),
    ("input.1.pth", PREFIX + "input.1.path"), ("output.1.media-type", PREFIX + "output.1.mediatype"),
    ("resource.memory", PREFIX + "resources.memory"), ("topics.3", PREFIX + "topic.3"),
    ("test.1.output.2.sha512", PREFIX + "test.1.output.2.sha256"), ("xyzzy", None), ("", None)])
def test_an_unknown_key_was_only_logged_and_is_found_with_did_you_mean(judge, key, meant):
    (problem,) = judge({key: "B"})
    assert (problem.slug, problem.suggestion) == ("unknown-label", meant)


@pytest.mark.parametrize("key", ["eudat.gef.name", "eudat.gef.services.name", "eudat-gef.service.name", "eudat.gef.service"])
def test_a_misspelled_prefix_is_found(judge, key):
    (problem,) = judge({":" + key: "B"})
    assert (problem.slug, problem.suggestion) == ("unknown-label", PREFIX + "name")


def test_a_mediatype_was_silently_ignored_and_is_now_part_of_the_contract(valid):
    service = parse(valid | {PREFIX + "input.1.mediatype": "text/plain"}, has_command=True).service
    assert service is not None
    assert service.inputs[0].mediatype == "text/plain"


@pytest.mark.parametrize("path, slug, meant", [
    ("relative/../x:ro", "path-syntax", "/x"), ("/", "path-syntax", None), ("//", "path-syntax", None),
    ("", "path-syntax", None), ("/a/", "path-syntax", "/a"), ("/a//b", "path-syntax", "/a/b"),
    ("/a/./b", "path-syntax", "/a/b"), ("/a/../b", "path-syntax", "/b"), ("/a:ro", "path-syntax", "/a"),
    (" /a", "path-syntax", "/a"), ("/" + "a" * 256, "path-syntax", None), ("/a/../../etc", "path-syntax", None),
    ("C:\\data", "path-syntax", "/C"), ("/usr", "path-hides-system-directory", "/output"),
    ("/var", "path-hides-system-directory", "/output")])
def test_a_path_that_was_taken_verbatim_is_found(judge, path, slug, meant):
    (problem,) = judge({"output.1.path": path})
    assert (problem.slug, problem.suggestion) == (slug, meant)


@pytest.mark.parametrize("name, meant", [
    ("../../../../etc/cron.d/x", "x"), ("a/b", "b"), ("a\\b", "b"), (".", None), ("..", None), ("", None),
    ("x" * 256, None), ("ü" * 128, None), (" a", "a")])
def test_a_file_name_that_wrote_anywhere_on_the_server_is_found(judge, name, meant):
    (problem,) = judge({"input.1.type": "string", "input.1.filename": name})
    assert (problem.slug, problem.suggestion) == ("filename-syntax", meant)


def test_two_ports_with_one_path_were_refused_only_when_the_job_ran_and_are_found(judge):
    (problem,) = judge({"input.2.name": "B", "input.2.type": "url", "input.2.path": "/input"})
    assert (problem.slug, problem.label) == ("path-overlap", PREFIX + "input.2.path")


def test_an_input_and_an_output_with_one_path_are_found(judge):
    assert slugs(judge({"output.1.path": "/input"})) == ["path-overlap"]


def test_a_port_inside_another_is_found(judge):
    assert slugs(judge({"output.1.path": "/input/deep/out"})) == ["path-overlap"]


def test_paths_that_only_begin_alike_do_not_overlap(judge):
    assert judge({"output.1.path": "/input2"}) == ()


@pytest.mark.parametrize("attribute, value", [("type", "url"), ("filename", "out.txt")])
def test_type_and_filename_of_an_output_were_parsed_and_never_used_and_are_noted(judge, attribute, value):
    (problem,) = judge({f"output.1.{attribute}": value})
    assert (problem.slug, problem.severity) == ("output-attribute-unused", "low")
