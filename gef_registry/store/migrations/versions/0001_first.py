"""The first schema: names, candidates, submissions, statements, revocations, accounts."""

from __future__ import annotations

from alembic import op

from gef_registry.store.schema import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    metadata.create_all(op.get_bind())


def downgrade() -> None:
    raise RuntimeError("records of admissions are never taken back; restore the copy made before the upgrade")
