"""`python -m gef_registry` is `gef-registry`."""

from gef_registry.cli import main

if __name__ == "__main__":
    main()
