"""The OCI distribution protocol, both ends: a client for any registry, and the embedded registry's server."""
