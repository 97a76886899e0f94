"""The OpenAPI 3.1 description, made from the table of endpoints. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from gef_registry import __version__
from gef_registry.web.endpoints import ENDPOINTS, SCHEMAS, Endpoint

_SECURITY = {
    "public": [{}],
    "optional": [{}, {"bearer": []}, {"basic": []}],
    "account": [{"bearer": []}, {"basic": []}],
}


def openapi_document(public_url: str, endpoints: Iterable[Endpoint] = ENDPOINTS) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "GEF registry",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Submissions, reviews, admissions and revocations. Errors are one object, `Problem`.",
        },
        "servers": [{"url": public_url}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API token (`gef-registry account token`).",
                },
                "basic": {"type": "http", "scheme": "basic", "description": "An account's name and one of its tokens."},
            },
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.handler,
        "summary": endpoint.summary,
        "security": _SECURITY[endpoint.access],
        "parameters": [
            *({"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in _names(endpoint.path)),
            *(
                {"name": q.name, "in": "query", "description": q.description, "schema": {"type": q.type}}
                for q in endpoint.query
            ),
        ],
        "responses": {
            str(endpoint.status): {
                "description": endpoint.summary,
                "content": _content(endpoint.answer, endpoint.content_type),
            },
            **{str(status): {"description": "Refused", "content": _content("Problem")} for status in endpoint.refusals},
        },
    }
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(endpoint.body)}
    return operation


def _names(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)


def _content(schema: str, content_type: str = "application/json") -> dict[str, Any]:
    return {content_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
