"""Every way in which labels can break the label contract v1, as one table.

The checks, the generated documentation and the contract itself use these very objects, so a title or a
remediation exists once. Ids are stable: a kind may be retired, its number is never given to another.

Severity says what the problem costs. `high`: no service can be described, so none is. `medium`: a service can
be described, but not quite the one its author wrote. `low`: a label without any effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["high", "medium", "low"]


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One kind of problem. `by_absence`: it says that something is missing, not that something is wrong."""

    id: str
    slug: str
    title: str
    severity: Severity
    rationale: str
    remediation: str
    by_absence: bool = False


NOT_A_SERVICE = ProblemKind(
    "LBL-001",
    "not-a-gef-service",
    "The image carries no GEF service labels",
    "high",
    "A GEF service is an image annotated with labels under eudat.gef.service.; without them nobody can know "
    "what it reads, what it writes and what it is for.",
    "Add the label block to the Dockerfile; `gef-registry labels init` writes one.",
    by_absence=True,
)
REQUIRED_LABEL_MISSING = ProblemKind(
    "LBL-002",
    "required-label-missing",
    "A required label is missing",
    "high",
    "Name, description and version are what people search for, cite and compare.",
    "Add the label to the Dockerfile.",
    by_absence=True,
)
TEXT_LENGTH = ProblemKind(
    "LBL-003",
    "text-length",
    "A text is empty or too long",
    "high",
    "Texts are shown in lists and pages; an empty or endless one tells nobody anything.",
    "Write a text within the stated number of characters.",
)
VERSION_SYNTAX = ProblemKind(
    "LBL-004",
    "version-syntax",
    "The version is neither SemVer nor N nor N.N",
    "high",
    "Versions are ordered: `run NAME` takes the highest one that is not revoked. A free text has no order.",
    "Write the version as MAJOR.MINOR.PATCH, for example 1.0.0.",
)
NO_OUTPUT = ProblemKind(
    "LBL-005",
    "no-output",
    "The service declares no output",
    "high",
    "What a service writes outside a declared output is lost when its container ends.",
    "Declare eudat.gef.service.output.1.name and eudat.gef.service.output.1.path.",
    by_absence=True,
)
NO_COMMAND = ProblemKind(
    "LBL-006",
    "no-command",
    "The image has neither ENTRYPOINT nor CMD",
    "high",
    "A job starts the command of the image; the labels do not name one.",
    "Add ENTRYPOINT or CMD, in the JSON form, to the Dockerfile.",
    by_absence=True,
)
PORT_NUMBER = ProblemKind(
    "LBL-007",
    "port-number",
    "A number in a key is not 1 to 99 in plain decimal",
    "high",
    "Other spellings were silently read as another port, as port 0 or as port 255.",
    "Number from 1 to 99, without sign, leading zero or foreign digits.",
)
PORT_SPELLED_TWICE = ProblemKind(
    "LBL-008",
    "port-spelled-twice",
    "One port is spelled in two ways",
    "high",
    "Which of the two values counts used to differ from run to run.",
    "Keep one spelling, the plain decimal one.",
)
PORT_WITHOUT_PATH = ProblemKind(
    "LBL-009",
    "port-without-path",
    "A port has no path",
    "high",
    "Such a port was dropped silently and the later ones moved down.",
    "Add the path label of this port, or remove the port.",
    by_absence=True,
)
PORT_WITHOUT_NAME = ProblemKind(
    "LBL-010",
    "port-without-name",
    "A port has no name",
    "high",
    "The name is what a scientist sees when choosing data for this port.",
    "Add the name label of this port.",
    by_absence=True,
)
PATH_SYNTAX = ProblemKind(
    "LBL-011",
    "path-syntax",
    "A port path is not an absolute, normalised directory",
    "high",
    "The path becomes a mount point: a relative path, `..`, a colon (an option to the engine) or `/` do not "
    "mount what they seem to.",
    "Write an absolute path without `.`, `..`, doubled or trailing slashes and colons, for example /input.",
)
PATH_SYSTEM_DIRECTORY = ProblemKind(
    "LBL-012",
    "path-in-system-directory",
    "A port path lies in a system directory",
    "high",
    "Mounting data there replaces programs, libraries or devices of the container.",
    "Use a directory of your own, for example /input or /output.",
)
PATH_HIDES_SYSTEM = ProblemKind(
    "LBL-013",
    "path-hides-system-directory",
    "A port path hides a system directory below it",
    "medium",
    "A mount on /usr or /var hides what the image keeps below it.",
    "Use a directory of your own, for example /input or /output.",
)
PATH_OVERLAP = ProblemKind(
    "LBL-014",
    "path-overlap",
    "Two ports share a path, or one lies inside the other",
    "high",
    "The engine refuses equal mount points when the job starts, and a nested one hides data.",
    "Give every port a directory of its own.",
)
TYPE_MISSING = ProblemKind(
    "LBL-015",
    "input-type-missing",
    "An input has no type",
    "high",
    "Without a type every job of the service fails while its data are staged.",
    "Add the type label of this input: `url` for data, `string` for text typed by the user.",
    by_absence=True,
)
TYPE_UNKNOWN = ProblemKind(
    "LBL-016",
    "input-type-unknown",
    "An input type is neither url nor string",
    "high",
    "Nothing can be staged for another type.",
    "Write `url` for data, or `string` for text typed by the user.",
)
FILENAME_MISSING = ProblemKind(
    "LBL-017",
    "filename-missing",
    "An input of type string has no file name",
    "high",
    "The text of the user is written to a file of this name in the input directory.",
    "Add the filename label of this input.",
    by_absence=True,
)
FILENAME_UNUSED = ProblemKind(
    "LBL-018",
    "filename-without-string",
    "An input of type url has a file name",
    "medium",
    "Data keep their own names; the label has no effect.",
    "Remove the filename label, or make the input's type `string`.",
)
FILENAME_SYNTAX = ProblemKind(
    "LBL-019",
    "filename-syntax",
    "A file name is not a plain file name",
    "high",
    "A file name with a slash or `..` once let an image write anywhere on the host.",
    "Write a file name without any slash, at most 255 bytes long.",
)
FORBIDDEN_CHARACTER = ProblemKind(
    "LBL-020",
    "forbidden-character",
    "A label holds control, bidirectional or invisible characters",
    "high",
    "Such characters make a terminal or a page show something else than what is there.",
    "Remove the characters; a text is one line.",
)
UNKNOWN_LABEL = ProblemKind(
    "LBL-021",
    "unknown-label",
    "A label under the prefix is not part of the contract",
    "medium",
    "An unknown key is a typing mistake or a wish; ignoring it silently helps neither.",
    "Correct the key, or move the information to a label outside eudat.gef.service.",
)
WRONG_CASE = ProblemKind(
    "LBL-022",
    "wrong-case",
    "A key is not written exactly: letter case or surrounding spaces",
    "high",
    "Keys are lower case and compared exactly; another spelling is another label.",
    "Write the key in lower case and without spaces.",
)
EXTRA_COMPONENT = ProblemKind(
    "LBL-023",
    "extra-component",
    "A key goes on after its last component",
    "high",
    "`name.evil` used to replace `name` at random.",
    "Remove what follows the last known component of the key.",
)
INCOMPLETE_KEY = ProblemKind(
    "LBL-024",
    "incomplete-key",
    "A key stops too early",
    "medium",
    "`input` or `input.1` alone names no attribute, so its value has no meaning.",
    "Write the whole key, for example eudat.gef.service.input.1.path.",
)
HISTORIC_DIALECT = ProblemKind(
    "LBL-025",
    "historic-dialect",
    "A key belongs to a dialect that was never understood",
    "medium",
    "Early access images and workflow generators wrote keys that no GEF has read.",
    "Write the port in the form input.N.path or output.N.path, with name and type.",
)
OPTIONAL_VALUE = ProblemKind(
    "LBL-026",
    "optional-value",
    "`optional` is neither true nor false",
    "medium",
    "An unclear value is read as false: the input stays required.",
    "Write `true` or `false`.",
)
MEDIATYPE_SYNTAX = ProblemKind(
    "LBL-027",
    "mediatype-syntax",
    "A media type is not type/subtype",
    "medium",
    "Media types (RFC 6838) let a workflow know which services fit together.",
    "Write a media type without parameters, for example application/json.",
)
TOPIC_SYNTAX = ProblemKind(
    "LBL-028",
    "topic-syntax",
    "A topic is not an EDAM topic",
    "medium",
    "Topics are identifiers of the EDAM ontology, so that a search finds them in every language.",
    "Write the topic's address, for example http://edamontology.org/topic_3070.",
)
NETWORK_VALUE = ProblemKind(
    "LBL-029",
    "network-value",
    "`network` is neither none nor outbound",
    "medium",
    "An unclear value is read as none: the service runs without network.",
    "Write `none` (the default) or `outbound`.",
)
RESOURCE_VALUE = ProblemKind(
    "LBL-030",
    "resource-value",
    "A resource is not a usable amount",
    "medium",
    "Hosts decide by these amounts whether a job fits.",
    "cpus: a positive number; memory: bytes, or a number with KiB, MiB, GiB or TiB; gpus: a whole number.",
)
TEST_VALUE = ProblemKind(
    "LBL-031",
    "test-value",
    "A self-test has an unusable value",
    "medium",
    "Self-tests run before admission; a test that cannot be read proves nothing.",
    "An input needs a text; an expected output a SHA-256 in 64 lower-case hexadecimal digits.",
)
TEST_UNKNOWN_PORT = ProblemKind(
    "LBL-032",
    "test-unknown-port",
    "A self-test names a port that is not declared",
    "medium",
    "The test can never run.",
    "Declare the port, or correct its number in the key of the test.",
)
TEST_INCOMPLETE = ProblemKind(
    "LBL-033",
    "test-incomplete",
    "A self-test leaves out an input that is required",
    "medium",
    "The service cannot start without its required inputs, so the test can never run.",
    "Give the test a value for each input that is not optional.",
    by_absence=True,
)
OUTPUT_ATTRIBUTE_UNUSED = ProblemKind(
    "LBL-034",
    "output-attribute-unused",
    "An output has a type or a file name",
    "low",
    "Both were parsed once and never used: a service writes what it likes into its output directory.",
    "Remove the label; `mediatype` says what kind of data an output holds.",
)
BOUNDS = ProblemKind(
    "LBL-035",
    "label-bounds",
    "Too many labels, or one that is too long",
    "high",
    "Labels are copied into every list and statement; what exceeds the bounds is not read.",
    "At most 512 labels under the prefix, 256 characters for a key, 4096 for a value.",
)
LINK_SYNTAX = ProblemKind(
    "LBL-036",
    "link-syntax",
    "A source or documentation label is not a web address",
    "low",
    "Pages show these labels as links, so only http and https addresses are shown.",
    "Write an address that begins with https://.",
)

KINDS: tuple[ProblemKind, ...] = (
    NOT_A_SERVICE, REQUIRED_LABEL_MISSING, TEXT_LENGTH, VERSION_SYNTAX, NO_OUTPUT, NO_COMMAND, PORT_NUMBER,
    PORT_SPELLED_TWICE, PORT_WITHOUT_PATH, PORT_WITHOUT_NAME, PATH_SYNTAX, PATH_SYSTEM_DIRECTORY,
    PATH_HIDES_SYSTEM, PATH_OVERLAP, TYPE_MISSING, TYPE_UNKNOWN, FILENAME_MISSING, FILENAME_UNUSED,
    FILENAME_SYNTAX, FORBIDDEN_CHARACTER, UNKNOWN_LABEL, WRONG_CASE, EXTRA_COMPONENT, INCOMPLETE_KEY,
    HISTORIC_DIALECT, OPTIONAL_VALUE, MEDIATYPE_SYNTAX, TOPIC_SYNTAX, NETWORK_VALUE, RESOURCE_VALUE, TEST_VALUE,
    TEST_UNKNOWN_PORT, TEST_INCOMPLETE, OUTPUT_ATTRIBUTE_UNUSED, BOUNDS, LINK_SYNTAX,
)  # fmt: skip
BY_ID: dict[str, ProblemKind] = {kind.id: kind for kind in KINDS}
