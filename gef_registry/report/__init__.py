"""A verdict written down: one `Report` value, one file per format. Pure: bytes out, nobody's terminal is asked."""
