"""Admission: from a submission to a digest that is admitted under a name, and to its end."""
