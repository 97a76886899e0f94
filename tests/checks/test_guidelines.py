"""Each guideline with its table of good and bad examples. A complaint about other linters is a good example here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gef_registry.checks.guidelines.download_to_shell import run_script
from gef_registry.checks.model import CheckResult, Outcome, Severity
from gef_registry.facts.model import ImageFacts

Make = Callable[..., ImageFacts]
Inspect = Callable[[str, ImageFacts], CheckResult]

PASSWD = (
    b"root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\n\n  gef:x:1000:1000::/:/bin/sh  \nbroken\n"
    b"odd:x:zero:0::/:/bin/sh\ntwice:x:5:5::/:\ntwice:x:0:0::/:\n"
)
ROOT_USERS = [
    "",
    "0",
    "0:0",
    "0:1000",
    "00",
    "+0",
    "-0",
    "root",
    "root:root",
    "toor",
    "toor:users",
    ":1000",
    "odd",
    "twice",
    "broken",
]
OTHER_USERS = ["65534", "65534:65534", "1000:0", "10", "gef", "gef:root", "007", "4294967296"]


@pytest.mark.parametrize("user", ROOT_USERS)
def test_usr_001_knows_root_by_all_its_names(make_facts: Make, inspect: Inspect, user: str) -> None:
    result = inspect("USR-001", make_facts({"User": user}, passwd=PASSWD))
    assert (result.outcome, [f.severity for f in result.findings]) == (Outcome.FAIL, [Severity.HIGH])


@pytest.mark.parametrize("user", OTHER_USERS)
def test_usr_001_accepts_everybody_else(make_facts: Make, inspect: Inspect, user: str) -> None:
    assert inspect("USR-001", make_facts({"User": user}, passwd=PASSWD)).outcome is Outcome.PASS


def test_usr_001_needs_no_passwd_for_a_number(make_facts: Make, inspect: Inspect) -> None:
    assert inspect("USR-001", make_facts({"User": "65534"})).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "options", [{"passwd": None}, {"passwd": b"root:x:0:0\n"}, {"unresolved": "/etc/passwd is a chain of links"}]
)
def test_usr_001_does_not_guess_who_a_name_is(make_facts: Make, inspect: Inspect, options: dict[str, Any]) -> None:
    assert inspect("USR-001", make_facts({"User": "somebody"}, **options)).outcome is Outcome.UNKNOWN


def test_usr_001_does_not_understand_windows(make_facts: Make, inspect: Inspect) -> None:
    assert inspect("USR-001", make_facts({"User": "ContainerUser"}, os="windows")).outcome is Outcome.UNKNOWN


SECRET = "s3cr3tHorse-Battery"
BAD_ENV = [
    f"DB_PASSWORD={SECRET}", f"password={SECRET}", f"API_KEY={SECRET}", f"AWS_SECRET_ACCESS_KEY={SECRET}",
    f"GITHUB_TOKEN=ghp_{SECRET}", f"MYSQL_ROOT_PASSWORD={SECRET}", f"ROOTPASSWORD={SECRET}", f"MYSQL_PWD={SECRET}",
    "AWS_SECRET_ACCESS_KEY=/wJalrXUtnFEMIxK7MDENGzbPxRfiCYEXAMPLEKY", f"X_SECRET=https://user:{SECRET}@example.org",
    f'APP_SECRET="{SECRET}"', f"app.api-key={SECRET}", "API_TOKEN=da39a3ee5e6b4b0d3255bfef95601890afd80709",
]  # fmt: skip
GOOD_ENV = [
    "PATH=/usr/bin", "KEYCLOAK_URL=http://keycloak", "KEYCLOAK_VERSION=21.0.1", "ACCESS_LOG=/var/log/access.log",
    "GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D", "GPG_SECRET=a035c8c19219ba821ecea86b64e628f8d684696d",
    "CRYPTO_PASSWORD=libcrypto3=3.1.4-r1", "DB_PASSWORD_FILE=/run/secrets/db", "DB_PASSWORD=", "DB_PASSWORD=''",
    "DB_PASSWORD=$OTHER", "DB_PASSWORD=${OTHER:-}", "TOKEN=/run/secrets/token", "TOKEN_URL=https://auth.example.org/t",
    "ACCESS_TOKEN=https://auth.example.org/token", "TOKENIZERS_PARALLELISM=true", "USE_TOKEN=false", "TOKEN_TTL=3600",
    "MAX_TOKEN=4096", "SECRET_NAME=my-secret", "PASSWORD_MIN_LENGTH=12", "API_KEY=<your key>", "API_KEY=xxxxxxxx",
    "API_KEY={{ key }}", "PWD=/work", "OLD_PWD=/x", "COMPASS=north", "MONKEY=banana", "CC=gcc", "DB_SECRET=none",
    "PUBLIC_KEY=abcdefghijk", "TOKEN_VERSION=1.2.3-rc1", "PASSPORT=x123abc", "SECRET_TIMEOUT=30s", "BROKEN_SECRET",
]  # fmt: skip


@pytest.mark.parametrize("variable", BAD_ENV)
def test_sec_003_names_the_variable_and_never_its_value(make_facts: Make, inspect: Inspect, variable: str) -> None:
    result = inspect("SEC-003", make_facts({"Env": ["PATH=/bin", variable]}))
    name, _, value = variable.partition("=")
    (found,) = result.findings
    assert name in found.message
    assert value not in repr(result)
    assert SECRET not in repr(result)


@pytest.mark.parametrize("variable", GOOD_ENV)
def test_sec_003_leaves_what_is_no_credential_alone(make_facts: Make, inspect: Inspect, variable: str) -> None:
    assert inspect("SEC-003", make_facts({"Env": [variable]})).outcome is Outcome.PASS


def test_sec_003_stays_fast_on_a_hostile_value(make_facts: Make, inspect: Inspect) -> None:
    for value in ("/" * 100_000, "a/" * 50_000 + " ", "1." * 50_000 + "!", "{{" * 50_000):
        inspect("SEC-003", make_facts({"Env": [f"API_KEY={value}"]}))


BAD_STEPS = [
    "curl -fsSL https://example.org/install.sh | sh",
    "curl https://example.org/x | sudo -E bash -",
    "wget -qO- https://example.org/x | bash -s -- --yes",
    "curl https://example.org/x | tee log | python3",
    "curl -sSL https://example.org/get.py | python3 - --version 1",
    'bash -c "$(curl -fsSL https://example.org/x)"',
    "bash <(curl -s https://example.org/x)",
    'eval "$(wget -qO- https://example.org/x)"',
    "source <(curl -s https://example.org/x)",
    "apt-get update && sh -c 'curl https://example.org/x | sh'",
    "set -ex; VERSION=1 curl -L https://example.org/x | VERSION=1 sh -x",
    "if true; then curl https://example.org/x | sh; fi",
    "apt-get install -y --allow-unauthenticated thing",
    "echo 'deb [trusted=yes] http://example.org stable main' > /etc/apt/sources.list.d/x.list",
    "yum install -y --nogpgcheck thing",
    "apk add --allow-untrusted /tmp/x.apk",
]
INSECURE_STEPS = [
    "curl -k https://example.org/x -o x",
    "curl -fsSLk https://example.org/x -o x",
    "curl --insecure -O https://example.org/x",
    "wget --no-check-certificate https://example.org/x",
    "pip install --trusted-host example.org thing",
    "python3 -m pip install --trusted-host=example.org thing",
    "git config --global http.sslVerify false",
    "GIT_SSL_NO_VERIFY=1 git clone https://example.org/x",
    "npm config set strict-ssl false",
    "conda config --set ssl_verify false",
]
GOOD_STEPS = [
    "curl -fsSL https://example.org/x.tar.gz | tar xz",
    'echo "curl https://example.org/x | sh"',
    "echo 'never use curl -k' # curl https://example.org/x | sh",
    "true # wget https://example.org/x | bash",
    "curl -fsSL https://example.org/key | gpg --dearmor > /usr/share/keyrings/x.gpg",
    "VERSION=$(curl -s https://example.org/latest) && echo $VERSION",
    "curl -s https://example.org/data.json | python3 -m json.tool",
    "curl -s https://example.org/data.json | python3 -c 'import json,sys; json.load(sys.stdin)'",
    "curl -s https://example.org/data | python3 /app/read.py",
    "curl -s https://example.org/data | sh /app/read.sh",
    "curl -o kernel https://example.org/k && tar -xkf kernel",
    "curl -o-k https://example.org/k",
    "grep -k curl file; ls -k",
    "apt-get update && apt-get install -y --no-install-recommends curl wget bash",
    "cat install.sh | sh",
    "printf '%s' \"$(cat x)\" || sh -c 'true'",
]
BOTH = [("/bin/sh -c {}", False), ("RUN /bin/sh -c {} # buildkit", False), ("|2 A=1 B=two words /bin/sh -c {}", True)]


def _judge(make_facts: Make, inspect: Inspect, step: str, form: str = "RUN /bin/sh -c {} # buildkit") -> CheckResult:
    return inspect("HIS-002", make_facts(history=[{"created_by": "COPY x"}, {"created_by": form.replace("{}", step)}]))


@pytest.mark.parametrize("step", BAD_STEPS)
def test_his_002_sees_unverified_downloads(make_facts: Make, inspect: Inspect, step: str) -> None:
    for form, _ in BOTH:
        result = _judge(make_facts, inspect, step, form)
        assert {f.severity for f in result.findings} == {Severity.MEDIUM}, form


@pytest.mark.parametrize("step", INSECURE_STEPS)
def test_his_002_takes_missing_tls_more_seriously(make_facts: Make, inspect: Inspect, step: str) -> None:
    assert {f.severity for f in _judge(make_facts, inspect, step).findings} == {Severity.HIGH}


@pytest.mark.parametrize("step", GOOD_STEPS)
def test_his_002_reads_shell_and_not_words(make_facts: Make, inspect: Inspect, step: str) -> None:
    for form, _ in BOTH:
        assert _judge(make_facts, inspect, step, form).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "verification",
    ["echo 'abc  x' | sha256sum -c -", "sha512sum --check sums", "gpg --batch --verify x.asc x", "shasum -a 256 -c s"],
)
def test_his_002_is_information_where_the_same_step_verifies(
    make_facts: Make, inspect: Inspect, verification: str
) -> None:
    result = _judge(make_facts, inspect, f"curl -kO https://example.org/x && {verification} && ./x")
    assert [f.severity for f in result.findings] == [Severity.INFO]


@pytest.mark.parametrize(
    "entry",
    [
        '/bin/sh -c #(nop) CMD ["curl x | sh"]',
        "COPY curl | sh # buildkit",
        "LABEL x=curl y | sh",
        "ADD file:1 in /",
        "ENV A=b",
    ],
)
def test_his_002_leaves_entries_alone_that_ran_nothing(make_facts: Make, inspect: Inspect, entry: str) -> None:
    assert run_script(entry) is None
    assert inspect("HIS-002", make_facts(history=[{"created_by": entry}])).outcome is Outcome.PASS


def test_his_002_without_a_history_is_unknown(make_facts: Make, inspect: Inspect) -> None:
    assert inspect("HIS-002", make_facts()).outcome is Outcome.UNKNOWN


def test_his_002_never_repeats_what_the_step_said(make_facts: Make, inspect: Inspect) -> None:
    step = f"curl -k -H 'Authorization: {SECRET}' https://u:{SECRET}@example.org/x | sh"
    assert SECRET not in repr(_judge(make_facts, inspect, step))


def test_a_configuration_that_could_not_be_read_leaves_guidelines_in_error(make_facts: Make, inspect: Inspect) -> None:
    for name in ("USR-001", "SEC-001", "SEC-003", "HIS-002", "LBL-001"):
        assert inspect(name, make_facts(readable=False)).outcome is Outcome.ERROR
