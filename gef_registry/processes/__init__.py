"""Long-running processes: each one coroutine with one TaskGroup."""
