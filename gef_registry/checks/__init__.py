"""Checks: facts in, findings out. No check decides anything; policy does."""
