"""One small file for each guideline: its page, and what it looks at."""
