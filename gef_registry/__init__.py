"""GEF registry: the gate of a trusted image repository and the guard on the hosts that run from it."""

__version__ = "0.1.0"
