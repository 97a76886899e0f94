"""The table of the API: the application's routes and `/api/v1/openapi.json` are both made from it.

An endpoint names the handler's method in `api.Api`. Nothing is reachable that is not in this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Access = Literal["public", "optional", "account"]


@dataclass(frozen=True, slots=True)
class Query:
    """A query parameter."""

    name: str
    description: str
    type: str = "string"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`path` as OpenAPI writes it. `public` never looks at credentials, `optional` shows more to those who have them."""

    method: str
    path: str
    handler: str
    access: Access
    summary: str
    answer: str
    status: int = 200
    query: tuple[Query, ...] = ()
    body: str | None = None
    refusals: tuple[int, ...] = ()
    content_type: str = "application/json"

    @property
    def route(self) -> str:
        """The path as aiohttp matches it; repositories hold slashes."""
        return self.path.replace("{repository}", "{repository:.+}")


_LIMIT = Query("limit", "How many at most, 1 to 500.", "integer")

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/api/v1/services",
        "services",
        "public",
        "The admitted services that are not revoked, each with its highest version",
        "Services",
        query=(
            Query("q", "Words that must occur in name, description, repository or topics."),
            _LIMIT,
            Query("after", "Continue after this repository."),
        ),
        refusals=(400,),
    ),
    Endpoint(
        "GET",
        "/api/v1/services/{repository}",
        "service",
        "public",
        "One service: all admitted versions, the highest first, and those that were revoked",
        "Service",
        refusals=(404,),
    ),
    Endpoint(
        "GET",
        "/api/v1/submissions",
        "submissions",
        "account",
        "One's own submissions; for reviewers and administrators also those they review",
        "Submissions",
        query=(
            Query("state", "A state; may be repeated or joined by commas."),
            Query("repository", "Only of this repository."),
            Query("reviewable", "`true`: without one's own.", "boolean"),
            _LIMIT,
        ),
        refusals=(400, 401),
    ),
    Endpoint(
        "POST",
        "/api/v1/submissions",
        "submit",
        "account",
        "Submit an image of another registry, which the gate fetches; one must be an author there",
        "Submission",
        status=201,
        body="SubmissionRequest",
        refusals=(400, 401, 403, 409, 413, 415, 429),
    ),
    Endpoint(
        "GET",
        "/api/v1/submissions/{id}",
        "submission",
        "optional",
        "One submission; only admitted ones are public",
        "Submission",
        query=(Query("wait", "Answer when it is decided or needs a human, at the latest after 1 to 60 s.", "integer"),),
        refusals=(400, 401, 404),
    ),
    Endpoint(
        "POST",
        "/api/v1/submissions/{id}/reviews",
        "review",
        "account",
        "Approve or reject a waiting submission; never one's own",
        "Submission",
        status=201,
        body="ReviewRequest",
        refusals=(400, 401, 403, 404, 409, 413, 415),
    ),
    Endpoint(
        "GET",
        "/api/v1/reports/{digest}",
        "report",
        "optional",
        "The report of a judgement, its exact bytes",
        "Report",
        refusals=(400, 401, 404),
    ),
    Endpoint(
        "GET",
        "/api/v1/policies/{digest}",
        "policy",
        "public",
        "A policy that verdicts name, its exact bytes",
        "Policy",
        refusals=(400, 404),
        content_type="application/yaml",
    ),
    Endpoint(
        "GET", "/api/v1/revocations", "revocations", "public", "All logged revocations, the newest first", "Revocations"
    ),
    Endpoint(
        "POST",
        "/api/v1/revocations",
        "revoke",
        "account",
        "End all names of a digest; for reviewers of every repository concerned",
        "Revocation",
        status=201,
        body="RevocationRequest",
        refusals=(400, 401, 403, 404, 413, 415),
    ),
    Endpoint(
        "GET", "/api/v1/whoami", "whoami", "account", "The account behind the credentials", "Account", refusals=(401,)
    ),
    Endpoint("GET", "/api/v1/version", "version", "public", "What runs here", "Version"),
    Endpoint("GET", "/api/v1/openapi.json", "openapi", "public", "This description", "OpenApi"),
)

_TEXT: dict[str, Any] = {"type": "string"}
_TEXT_OR_NULL: dict[str, Any] = {"type": ["string", "null"]}
_TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
_DIGEST: dict[str, Any] = {"type": "string", "pattern": "^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$"}
_DIGEST_OR_NULL: dict[str, Any] = {"anyOf": [_DIGEST, {"type": "null"}]}
_INDEX: dict[str, Any] = {"type": ["integer", "null"], "minimum": 0}
_LINKS: dict[str, Any] = {"type": "object", "additionalProperties": _TEXT}


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {"type": "object", "required": sorted(required), "properties": {**required, **optional}}


def _list_of(name: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}


_VERSION_NAME = _object({"version": _TEXT, "tag": _TEXT, "digest": _DIGEST, "admitted_at": _TIME})
_ADMITTED = {
    "name": _TEXT_OR_NULL,
    "description": _TEXT_OR_NULL,
    "version": _TEXT,
    "repository": _TEXT,
    "tag": _TEXT,
    "digest": _DIGEST,
    "admitted_at": _TIME,
    "report": _DIGEST_OR_NULL,
    "service": {"type": "object", "description": "What the labels declare: schemas/service.schema.json."},
    "links": _LINKS,
}

SCHEMAS: dict[str, dict[str, Any]] = {
    "Policy": {"type": "string", "description": "YAML; its SHA-256 is the digest asked for"},
    "Problem": _object({"error": _object({"kind": _TEXT, "message": _TEXT, "request_id": _TEXT}, hint=_TEXT)}),
    "Services": _object({"services": _list_of("ListedService"), "total": {"type": "integer"}}, next=_TEXT_OR_NULL),
    "ListedService": _object({**_ADMITTED, "versions": {"type": "array", "items": _VERSION_NAME}}),
    "AdmittedVersion": _object(_ADMITTED),
    "Service": _object(
        {
            "repository": _TEXT,
            "versions": _list_of("AdmittedVersion"),
            "revoked": {
                "type": "array",
                "items": _object(
                    {
                        "tag": _TEXT,
                        "digest": _DIGEST,
                        "reason": _TEXT_OR_NULL,
                        "revoked_at": _TIME,
                        "log_index": _INDEX,
                    }
                ),
            },
        }
    ),
    "Submissions": _object({"submissions": _list_of("Submission")}),
    "Submission": _object(
        {
            "id": _TEXT,
            "repository": _TEXT,
            "tag": _TEXT,
            "digest": _DIGEST,
            "media_type": _TEXT,
            "state": _TEXT,
            "decision": _TEXT_OR_NULL,
            "reasons": {"type": "array", "items": _TEXT},
            "approvals_needed": {"type": "integer", "minimum": 0},
            "policy": {"type": ["object", "null"], "properties": {"name": _TEXT, "digest": _DIGEST}},
            "report": _DIGEST_OR_NULL,
            "created_at": _TIME,
            "updated_at": _TIME,
            "links": _LINKS,
        },
        account=_TEXT,
        held_in=_TEXT,
        source=_TEXT,
        reviews=_list_of("Review"),
    ),
    "Review": _object({"decision": {"enum": ["approve", "reject"]}, "at": _TIME}, reviewer=_TEXT, comment=_TEXT),
    "Report": {"type": "object", "description": "schemas/report.schema.json"},
    "Revocations": _object({"revocations": _list_of("Revocation")}),
    "Revocation": _object(
        {
            "digest": _DIGEST,
            "reason": _TEXT,
            "by": _TEXT,
            "at": _TIME,
            "log_index": _INDEX,
            "applied": {"type": "boolean"},
        }
    ),
    "Account": _object(
        {
            "name": _TEXT,
            "role": _TEXT,
            "communities": {"type": "array", "items": _TEXT},
            "reviews": {"type": "array", "items": _TEXT},
        }
    ),
    "Version": _object(
        {"name": _TEXT, "version": _TEXT, "api": _TEXT, "origin": _TEXT, "public_url": _TEXT, "trial": {"type": "boolean"}}
    ),
    "OpenApi": {"type": "object"},
    "SubmissionRequest": {
        **_object({"image": {**_TEXT, "maxLength": 1000}, "name": {**_TEXT, "maxLength": 255}, "tag": {**_TEXT, "maxLength": 128}}),
        "additionalProperties": False,
    },
    "ReviewRequest": {
        **_object({"decision": {"enum": ["approve", "reject"]}}, comment={**_TEXT, "maxLength": 4000}),
        "additionalProperties": False,
    },
    "RevocationRequest": {
        **_object({"digest": _DIGEST, "reason": {**_TEXT, "minLength": 1, "maxLength": 2000}}),
        "additionalProperties": False,
    },
}  # fmt: skip
