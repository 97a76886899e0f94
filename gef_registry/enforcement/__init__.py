"""What a host needs to run admitted images only: its own replay of the gate's log, and decisions by it.

`view`, `decide` and `names` are pure; `trust` says whom to believe; `view_directory`, `follower` and `http_fetch` are the
edges. Small enough for every host: no database, no image tools.
"""
