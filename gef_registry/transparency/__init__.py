"""The transparency log: an append-only Merkle log of everything the gate decided, in C2SP formats.

`merkle`, `tiles`, `note` and `proofs` are pure and are all a verifier needs; `layout` names the files; `local`,
`recovery`, `commit` and `sequencer` write a log in a directory; `reader` reads one from anywhere; `audit` re-hashes one.
"""
