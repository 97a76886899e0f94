"""What the gate signs and how anybody checks it: keys and their set, DSSE envelopes, statements, log leaves, cosign objects.

Pure: bytes in, bytes or values out. Randomness is used in one place only, where a key is made or signs.
"""
