"""The gate's face: registry, tokens, API, log, webhooks, pages. Handlers parse, call one thing, answer."""
