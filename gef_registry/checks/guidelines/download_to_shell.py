"""HIS-002: a build step ran what it had just downloaded, or switched off TLS or signature checks.

Read from the history with a shell tokenizer: what stands in quotes or comments is no command. A checksum or signature
that the same step verifies makes it information only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gef_registry.checks import shell
from gef_registry.checks.check import Seen, finding, on_each_config
from gef_registry.checks.model import CheckInfo, Finding, Outcome, Severity
from gef_registry.facts.model import PlatformFacts
from gef_registry.oci.config import ImageConfig

INFO = CheckInfo(
    id="HIS-002",
    slug="unverified-download",
    title="A build step ran an unverified download, or switched off TLS or signature checks",
    severity=Severity.MEDIUM,
    rationale="Whoever controls the server, or the network between, decided what is in this image. The next build may "
    "get something else.",
    remediation="Download to a file, verify it (sha256sum -c, gpg --verify), then run it; leave TLS and signature checks on.",
    references=("CIS Docker Benchmark 4.11", "NIST SP 800-190 3.1.5", "DL4006"),
)

_DOWNLOADERS = frozenset({"curl", "wget", "fetch", "aria2c", "http", "https", "lwp-download", "axel"})
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"})
_LANGUAGES = re.compile(r"(?:python|perl|ruby|node|nodejs|php|Rscript|julia)[0-9.]*")
_WRAPPERS = frozenset({
    "sudo", "doas", "env", "exec", "command", "nice", "nohup", "time", "xargs", "stdbuf", "setpriv", "gosu",
    "su-exec", "chroot", "!",
})  # fmt: skip
_KEYWORDS = frozenset({"if", "then", "else", "elif", "do", "while", "until", "case", "for", "in", "{"})
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=.*", re.DOTALL)
# Options of curl that take a value: in a cluster like -fsSLo, what follows them is no option.
_CURL_VALUED = frozenset("AbcCdDeEFhHKmoPQrTtuUwxXyYz")
_TRUSTED = re.compile(r"\[[^\]]*\btrusted=yes\b")
_MAX_SCRIPTS = 256 << 10  # of all entries together; about a second of reading at worst
_ARGUMENTS = re.compile(r"\|[0-9]+ ")


def run_script(created_by: str) -> str | None:
    """The script a history entry ran, or None for entries that ran none."""
    text = created_by.strip()
    if "#(nop)" in text[:64]:
        return None
    if text.startswith("RUN "):
        text = text[4:].strip().removesuffix("# buildkit").strip()
    if _ARGUMENTS.match(text):
        _, found, tail = text.partition(" -c ")
        return tail if found else None
    for prefix in ("/bin/sh -c ", "/bin/bash -c ", "sh -c ", "bash -c "):
        if text.startswith(prefix):
            return text[len(prefix) :]
    if created_by.lstrip().startswith("RUN "):
        match = re.match(r"(?:/\S*/)?(?:ba|da|z|k|a)?sh(?: -[A-Za-z]+| -o \S+)*? -[a-z]*c ", text)
        return text[match.end() :] if match else text
    return None


def _look(platform: PlatformFacts, config: ImageConfig) -> Seen:
    if not config.history:
        return Seen(outcome=Outcome.UNKNOWN, reason="the image has no history")
    found: dict[tuple[str, Severity], Finding] = {}
    left = _MAX_SCRIPTS
    for number, entry in enumerate(config.history, 1):
        script = run_script(entry.created_by)
        if script is None:
            continue
        left -= len(script)
        if left < 0 or len(script) > shell.MAX_LENGTH:
            return Seen(tuple(found.values()), Outcome.UNKNOWN, f"history entry {number} is too long to be read")
        for what, severity in problems_of(script):
            message = f"history entry {number} {what}"
            found.setdefault((what, severity), finding(INFO, message, severity=severity, evidence=what))
    return Seen(tuple(found.values()))


def problems_of(text: str) -> list[tuple[str, Severity]]:
    """What is wrong with one build step, each thing once."""
    script = _with_inner_shells(shell.parse(text))
    commands = script.commands()
    problems: dict[str, Severity] = {}
    for pipeline in script.every_pipeline():
        if what := _piped_to_interpreter(pipeline):
            problems.setdefault(what, Severity.MEDIUM)
    for command in commands:
        if what := _runs_substituted_download(command):
            problems.setdefault(what, Severity.MEDIUM)
        for what, severity in _checks_switched_off(command):
            problems.setdefault(what, severity)
    if any(_verifies(command) for command in commands):
        return [(f"{what} (the same step verifies a checksum or signature)", Severity.INFO) for what in problems]
    return list(problems.items())


def _with_inner_shells(script: shell.Script, depth: int = 0) -> shell.Script:
    """The script with those that it hands to `sh -c '…'` appended: their quotes hold commands."""
    pipelines = list(script.pipelines)
    if depth < 3:
        for command in script.commands():
            name, arguments = _named(command)
            if name in _SHELLS and (inner := _dash_c(arguments)) is not None and inner.text:
                pipelines += _with_inner_shells(shell.parse(inner.text), depth + 1).pipelines
    return shell.Script(tuple(pipelines))


def _named(command: shell.Command) -> tuple[str, tuple[shell.Word, ...]]:
    """The program a command really runs, and its arguments: past assignments, keywords, sudo and the like."""
    words = list(command.words)
    wrapped = False
    while words:
        text = words[0].text
        if _ASSIGNMENT.fullmatch(text) or text in _KEYWORDS:
            words.pop(0)
        elif text.rpartition("/")[2] in _WRAPPERS:
            wrapped = True
            words.pop(0)
        elif wrapped and text.startswith("-"):
            words.pop(0)
        else:
            break
    if not words:
        return "", ()
    return words[0].text.rpartition("/")[2], tuple(words[1:])


def _dash_c(arguments: tuple[shell.Word, ...]) -> shell.Word | None:
    for position, word in enumerate(arguments[:-1]):
        if re.fullmatch(r"-[a-zA-Z]*c", word.text):
            return arguments[position + 1]
        if not word.text.startswith("-"):
            return None
    return None


def _downloads(command: shell.Command) -> str | None:
    name = _named(command)[0]
    return name if name in _DOWNLOADERS else None


def _piped_to_interpreter(pipeline: shell.Pipeline) -> str | None:
    downloader = None
    for command in pipeline:
        name = _reads_program(command)
        if downloader and name:
            return f"pipes a download ({downloader}) into {name}"
        downloader = downloader or _downloads(command)
    return None


def _reads_program(command: shell.Command) -> str | None:
    """The interpreter that takes its program from standard input here, or None."""
    name, arguments = _named(command)
    if name not in _SHELLS and not _LANGUAGES.fullmatch(name):
        return None
    texts = [word.text for word in arguments]
    if name == "busybox":
        texts = texts[1:] if texts[:1] in (["sh"], ["ash"]) else ["not-a-shell"]
    for position, text in enumerate(texts):
        if text in ("-", "-s", "/dev/stdin", "--") or (name in _SHELLS and re.fullmatch(r"-[a-z]*s", text)):
            return name
        if re.fullmatch(r"-[a-zA-Z]*[cem]", text) and not (name in _SHELLS and not text.endswith("c")):
            return None  # its program is an argument: standard input is data
        if text in ("-o", "+o"):
            continue
        if not text.startswith("-") and not (position and texts[position - 1] in ("-o", "+o")):
            return None  # a script file
    return name


def _runs_substituted_download(command: shell.Command) -> str | None:
    """`sh -c "$(curl …)"`, `eval "$(curl …)"`, `bash <(curl …)`, `source <(curl …)`."""
    name, arguments = _named(command)
    if name in ("eval", "source", "."):
        program: tuple[shell.Word, ...] = arguments
    elif name in _SHELLS or _LANGUAGES.fullmatch(name):
        code = _dash_c(arguments)
        files = [word for word in arguments if word.is_process]
        program = (code,) if code is not None else tuple(files[:1])
    else:
        return None
    for word in program:
        for script in word.scripts:
            downloader = next(filter(None, map(_downloads, script.commands())), None)
            if downloader:
                return f"runs the output of a download ({downloader}) with {name}"
    return None


def _checks_switched_off(command: shell.Command) -> Iterator[tuple[str, Severity]]:
    for word in command.words:
        if re.fullmatch(
            r"(?:GIT_SSL_NO_VERIFY=(?:1|true)|NODE_TLS_REJECT_UNAUTHORIZED=0|PYTHONHTTPSVERIFY=0)", word.text
        ):
            yield f"switches off TLS verification ({word.text.partition('=')[0]})", Severity.HIGH
        if _TRUSTED.search(word.text):
            yield "switches off signature checks of a package source (trusted=yes)", Severity.MEDIUM
    name, arguments = _named(command)
    texts = tuple(word.text for word in arguments)
    option = _tls_option(name, texts)
    if option:
        yield f"switches off TLS verification ({name} {option})", Severity.HIGH
    option = _signature_option(name, texts)
    if option:
        yield f"switches off signature checks ({name} {option})", Severity.MEDIUM


def _tls_option(name: str, texts: tuple[str, ...]) -> str | None:
    if name == "curl":
        if "--insecure" in texts:
            return "--insecure"
        return "-k" if any(_curl_cluster_has_k(text) for text in texts) else None
    if name == "wget" and "--no-check-certificate" in texts:
        return "--no-check-certificate"
    if re.fullmatch(r"(?:pip|uv)[0-9.]*|python[0-9.]*", name):
        return next(
            (t.partition("=")[0] for t in texts if t.partition("=")[0] in ("--trusted-host", "--allow-insecure-host")),
            None,
        )
    settings = {
        "git": r"http\.sslverify[ =]+(?:false|0)",
        "npm": r"strict-ssl[ =]+false",
        "yarn": r"strict-ssl[ =]+false",
        "conda": r"ssl_verify[ =]+(?:false|no)",
        "mamba": r"ssl_verify[ =]+(?:false|no)",
    }
    if name in settings and re.search(settings[name], " ".join(texts)[:4096], re.IGNORECASE):
        return "certificate checks"
    return None


def _curl_cluster_has_k(text: str) -> bool:
    if not re.match(r"-[A-Za-z#0-9]", text):
        return False
    for letter in text[1:]:
        if letter == "k":
            return True
        if letter in _CURL_VALUED:
            return False
    return False


def _signature_option(name: str, texts: tuple[str, ...]) -> str | None:
    options = {
        "apt-get": ("--allow-unauthenticated", "--force-yes"),
        "apt": ("--allow-unauthenticated", "--force-yes"),
        "aptitude": ("--allow-untrusted",),
        "yum": ("--nogpgcheck",),
        "dnf": ("--nogpgcheck", "--no-gpgchecks"),
        "microdnf": ("--nogpgcheck",),
        "zypper": ("--no-gpg-checks",),
        "apk": ("--allow-untrusted",),
    }
    return next((text for text in texts if text in options.get(name, ())), None)


def _verifies(command: shell.Command) -> bool:
    name, arguments = _named(command)
    texts = [word.text for word in arguments]
    if re.fullmatch(r"(?:sha(?:1|224|256|384|512)|b2|b3|md5)sum", name) or name == "shasum":
        return any(re.fullmatch(r"-[a-z]*c[a-z]*|--check", text) for text in texts)
    return (name in ("gpg", "gpg2", "gpgv") and (name == "gpgv" or "--verify" in texts)) or (
        name == "cosign" and any(text.startswith("verify") for text in texts)
    )


CHECK = on_each_config(INFO, _look)
