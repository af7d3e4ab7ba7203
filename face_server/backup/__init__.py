"""A library as of one instant in a folder of its own, and back: the database, its pictures, the settings."""
