"""Webhooks of other registries, a parser for each sender. Pure: bytes in, hints out.

A hint says that something changed under a name. It is never believed: whoever acts on it reads the registry again, by
digest. Addresses inside a hook (`url`, `host`, `addr`) are the choice of whoever pushed, so they are not even kept.
"""
