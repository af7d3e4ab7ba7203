"""Vectors to neighbours: galleries and the registry that keeps them in step with the database."""
