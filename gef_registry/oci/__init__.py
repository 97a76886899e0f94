"""What an image is: digests, references, media types, manifests, configurations, layouts. Values first, files last."""
