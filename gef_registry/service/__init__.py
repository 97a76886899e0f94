"""The label contract v1: what makes an image a GEF service. Pure: labels in, a service or problems out."""
