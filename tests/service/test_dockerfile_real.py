"""The static reader against a real builder: what it says of a Dockerfile is what the built image has.

Left out is where builders differ: heredocs and `${name-word}` (BuildKit only), arguments of a parent stage.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gef_registry.service.dockerfile import read_dockerfile
from gef_registry.service.template import label_block

pytestmark = pytest.mark.real

FORMS = r"""# escape=\
ARG TAG=latest
FROM scratch AS base
LABEL inherited=yes overridden=no
ENV E=1 F=
ARG X=arg
USER 1000:1000
CMD ["base"]
FROM base
LABEL a=b "q"="b c" s='$E "x"' e=b\ c empty=
LABEL esc="b\"c\\d\$e\f" single='b\n$E' joined=x\
y old=1 \
# a comment
   next=2 \

   last=3
LABEL key old form  "value" $E
LABEL v=${E} w="$E" d=${U:-d} d2=${F:-d} p=${E:+s} p2=${U:+s} n=${U:-${E}} q2=${U:-"a b"} u=$U dollar=a$
LABEL overridden=$TAG
ENV abc=hello
ENV abc=bye def=$abc
label lower=$def
USER $abc
ENTRYPOINT exec form of $E
"""


def built(dockerd: Any, directory: Path, text: str) -> dict[str, Any]:
    """The config of the image that a build of this Dockerfile gives."""
    (directory / "Dockerfile").write_text(text)
    cli = dockerd.cli
    image = cli("build", "--quiet", str(directory)).stdout.strip().splitlines()[-1]
    config: dict[str, Any] = json.loads(cli("image", "inspect", image).stdout)[0]["Config"]
    cli("image", "rm", "--force", image)
    return config


@pytest.mark.parametrize(
    "text",
    [FORMS, "FROM scratch\n" + label_block(name='A "b" $c \\ d', description="It's") + 'CMD ["/x", "$y"]\n'],
    ids=["forms", "template"],
)
def test_a_built_image_has_exactly_the_config_that_was_read(dockerd: Any, tmp_path: Path, text: str) -> None:
    config = built(dockerd, tmp_path, text)
    image = read_dockerfile(text)
    assert image.problems == ()
    assert image.unknown == ()
    assert {key: label.value for key, label in image.labels.items()} == config["Labels"]
    assert (list(image.cmd.value) if image.cmd else None) == config.get("Cmd")
    assert (list(image.entrypoint.value) if image.entrypoint else None) == config.get("Entrypoint")
    assert (image.user.value if image.user else "") == config.get("User", "")
    env = dict(entry.split("=", 1) for entry in config.get("Env") or [])
    env.pop("PATH", None)
    assert {key: value.value for key, value in image.env.items() if key != "PATH"} == env
