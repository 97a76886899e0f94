"""Parts of `build_without_registry.py`: an image from a Dockerfile's declarations and this machine's own Python.

    python_tree   which files a running CPython and its libraries are, and the package records that belong to them
    wheels        the pinned, hashed packages of requirements.txt, unpacked
    layers        a tree of files -> one deterministic compressed layer, kept in a cache
    writing       the image as OCI layout or docker-archive
"""
