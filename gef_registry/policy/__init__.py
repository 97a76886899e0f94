"""Policy: which findings matter where, and what follows from them. Pure: a verdict is a function of its inputs."""
