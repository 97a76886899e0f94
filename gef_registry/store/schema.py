"""The tables, once. Migrations start from these; digests are stored as their text, times as UTC ISO 8601.

Rows of `reservations`, `revocations`, `statements` and `events` are never deleted. Visibility: a row with `public` set is
admitted content; otherwise it belongs to `account`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()


def _text(name: str, *args: object, **kwargs: object) -> Column[str]:
    return Column(name, String, *args, nullable=kwargs.pop("nullable", False), **kwargs)  # type: ignore[arg-type]


instance = Table("instance", metadata, _text("key", primary_key=True), Column("value", Text, nullable=False))

accounts = Table(
    "accounts",
    metadata,
    _text("name", primary_key=True),
    _text("role"),
    _text("created_at"),
    Column("disabled", Boolean, nullable=False, default=False),
)
memberships = Table(
    "memberships",
    metadata,
    Column("account", String, ForeignKey("accounts.name"), primary_key=True),
    _text("community", primary_key=True),
)
tokens = Table(
    "tokens",
    metadata,
    _text("hash", primary_key=True),
    Column("account", String, ForeignKey("accounts.name"), nullable=False, index=True),
    _text("kind"),
    _text("created_at"),
    _text("expires_at", nullable=True),
)

uploads = Table(
    "uploads",
    metadata,
    _text("id", primary_key=True),
    _text("repository"),
    _text("account", index=True),
    Column("offset", BigInteger, nullable=False, default=0),
    _text("touched_at"),
)
blobs = Table(
    "blobs",
    metadata,
    _text("repository", primary_key=True),
    _text("digest", primary_key=True),
    _text("account", primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("public", Boolean, nullable=False, default=False),
    _text("created_at"),
)
Index("blobs_by_digest", blobs.c.digest)

manifests = Table(
    "manifests",
    metadata,
    _text("repository", primary_key=True),
    _text("digest", primary_key=True),
    _text("account", primary_key=True),
    _text("media_type"),
    Column("size", BigInteger, nullable=False),
    _text("artifact_type", nullable=True),
    _text("subject", nullable=True),
    Column("annotations", Text, nullable=False, default="{}"),
    Column("public", Boolean, nullable=False, default=False),
    _text("created_at"),
)
Index("manifests_by_subject", manifests.c.repository, manifests.c.subject)

manifest_references = Table(
    "manifest_references",
    metadata,
    _text("repository", primary_key=True),
    _text("digest", primary_key=True),
    _text("target", primary_key=True),
    Column("size", BigInteger, nullable=False),
)
tags = Table(
    "tags",
    metadata,
    _text("repository", primary_key=True),
    _text("tag", primary_key=True),
    _text("digest"),
    _text("account"),
    Column("public", Boolean, nullable=False, default=False),
    _text("updated_at"),
)
Index("tags_by_digest", tags.c.repository, tags.c.digest)

reservations = Table(
    "reservations",
    metadata,
    _text("repository", primary_key=True),
    _text("tag", primary_key=True),
    _text("digest"),
    _text("submission"),
    _text("reserved_at"),
)
Index("reservations_by_digest", reservations.c.digest)

submissions = Table(
    "submissions",
    metadata,
    _text("id", primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    _text("repository"),
    _text("tag"),
    _text("digest", index=True),
    _text("media_type"),
    Column("size", BigInteger, nullable=False),
    _text("account", index=True),
    _text("held_in"),
    _text("source"),
    _text("state", index=True),
    _text("created_at"),
    _text("updated_at"),
    Column("reasons", Text, nullable=False, default="[]"),
    _text("decision", nullable=True),
    Column("approvals", Integer, nullable=False, default=0),
    _text("policy_name", nullable=True),
    _text("policy_digest", nullable=True),
    _text("report_digest", nullable=True),
    Column("service", Text, nullable=True),
    Column("parts", Text, nullable=False, default="[]"),
    _text("lease_until", nullable=True),
    Column("failures", Integer, nullable=False, default=0, server_default="0"),
)
Index("submissions_by_name", submissions.c.repository, submissions.c.tag)

reviews = Table(
    "reviews",
    metadata,
    Column("submission", String, ForeignKey("submissions.id"), primary_key=True),
    _text("reviewer", primary_key=True),
    _text("opinion"),
    Column("comment", Text, nullable=False),
    _text("at"),
)
reports = Table("reports", metadata, _text("digest", primary_key=True), Column("body", LargeBinary, nullable=False))
statements = Table(
    "statements",
    metadata,
    Column("submission", String, ForeignKey("submissions.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    _text("kind"),
    _text("part"),
    Column("statement", LargeBinary, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("log_index", BigInteger, nullable=True),
    Column("proof", LargeBinary, nullable=True),
    Column("checkpoint", Text, nullable=True),
)
revocations = Table(
    "revocations",
    metadata,
    _text("digest", primary_key=True),
    Column("reason", Text, nullable=False),
    _text("by"),
    _text("at"),
    Column("leaf", LargeBinary, nullable=False),
    Column("log_index", BigInteger, nullable=True),
    Column("applied", Boolean, nullable=False, default=False),
)
# Webhook deliveries: stored before they are answered, each once.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    _text("sender"),
    _text("event"),
    Column("body", LargeBinary, nullable=False),
    _text("received_at"),
    _text("done_at", nullable=True),
    Column("outcome", Text, nullable=True),
    _text("not_before", nullable=True),
    Column("attempts", Integer, nullable=False, default=0, server_default="0"),
    UniqueConstraint("sender", "event"),
)
# Who did what: the gate's own diary, in the order of things.
events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    _text("at"),
    _text("account"),
    _text("action"),
    _text("subject"),
    Column("detail", Text, nullable=False, default=""),
)
