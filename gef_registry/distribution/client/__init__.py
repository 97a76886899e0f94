"""The client's end of the registry protocol. `RegistryClient` is the way in; `RegistrySource` reads one image with it.

challenge, answers, retry     what headers, bodies and failures mean
credentials, tokens           who we are to a registry, and who may learn it
transport, exchange           one HTTP attempt; one request with everything around it
downloads, uploads, listing   blobs in, blobs out, tags and referrers
"""

from gef_registry.distribution.client.credentials import (
    Credential,
    Credentials,
    DockerConfig,
    FixedCredentials,
    NoCredentials,
)
from gef_registry.distribution.client.registry import FetchedManifest, PutAnswer, RegistryClient
from gef_registry.distribution.client.settings import ClientSettings
from gef_registry.distribution.client.source import RegistrySource
from gef_registry.distribution.client.uploads import UploadSession, content_of_bytes, content_of_file

__all__ = [
    "ClientSettings",
    "Credential",
    "Credentials",
    "DockerConfig",
    "FetchedManifest",
    "FixedCredentials",
    "NoCredentials",
    "PutAnswer",
    "RegistryClient",
    "RegistrySource",
    "UploadSession",
    "content_of_bytes",
    "content_of_file",
]
