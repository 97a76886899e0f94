"""Hands an open gate's parts to the web."""

from __future__ import annotations

from gef_registry.web.ports import GatePorts, Origin
from gef_registry.wiring.gate import Gate


def gate_ports(gate: Gate, origin: Origin) -> GatePorts:
    """Everything the handlers may touch."""
    return GatePorts(
        origin=origin,
        accounts=gate.accounts,
        desk=gate.desk,
        records=gate.submissions,
        revoker=gate.revoker,
        revocations=gate.revocations,
        deliveries=gate.deliveries,
        diary=gate.diary,
        log_files=gate.log_files,
        health=gate.health,
        metrics=gate.metrics,
        pull=gate.intake.submit,
        policy=gate.policies.read,
        hook_secrets={name: hook.secret for name, hook in gate.config.intake.hooks.items()},
    )
