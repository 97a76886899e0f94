"""An image's name becomes a place to read it from: the one table of the five forms."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from gef_registry.distribution.client import ClientSettings, Credentials, DockerConfig, RegistryClient, RegistrySource
from gef_registry.oci.archive import DockerArchiveSource
from gef_registry.oci.layout import layout_archive, layout_directory
from gef_registry.oci.reference import DaemonImage, DockerArchiveImage, ImageName, LayoutImage, RegistryImage
from gef_registry.oci.source import Source
from gef_registry.wiring.docker_daemon import DaemonSource, Engine


def open_source(
    name: ImageName,
    *,
    docker_host: str | None = None,
    plain_http: bool = False,
    client: RegistryClient | None = None,
    settings: ClientSettings | None = None,
    credentials: Credentials | None = None,
    spool_directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Source:
    """A source for `name`; nothing is opened before it is asked, and the caller closes it.

    `plain_http` allows http to that one registry. Without a `client` one is made from `settings` and `credentials`
    (default: the user's docker configuration) and closed with the source. Raises BadInput."""
    environment = os.environ if environment is None else environment
    match name:
        case RegistryImage(reference):
            if client is not None:
                return RegistrySource(reference, client)
            settings = settings or ClientSettings()
            if plain_http:
                settings = replace(settings, plain_http=settings.plain_http | {reference.host})
            own = RegistryClient(settings, credentials or DockerConfig.of_user(environment))
            return RegistrySource(reference, own, owns_client=True)
        case LayoutImage(path, tag, digest, archive):
            return (layout_archive if archive else layout_directory)(str(name), Path(path), tag, digest)
        case DockerArchiveImage(path, image):
            return DockerArchiveSource(str(name), Path(path), image)
        case DaemonImage(image):
            return DaemonSource(image, Engine.of(docker_host, environment), spool_directory=spool_directory)
        case _:
            assert_never(name)
