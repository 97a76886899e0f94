"""What the tests are made of and run against: images built in pure Python, and real external parts as processes.

    images, tars, layouts    images and where they are stored; no network, no engine, deterministic
    process                  a child process with a readiness probe, its output in a file, stopped by its own pid
    require                  skip, or fail under GEF_REGISTRY_REQUIRE_REAL=1, when a part is not on this machine
    conformance              the conformance suite of the OCI distribution specification, run and read
    dockerd, registry, tools dockerd with its own data root, Debian's docker-registry, skopeo, crane, ctr

`tests/conftest.py` turns the second half into session fixtures. Nothing here imports the product: what judges the
product must not share its mistakes.
"""
