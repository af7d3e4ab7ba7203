"""Whole libraries on the move: from folders, tables and other deployments into this one, and out of it again."""
