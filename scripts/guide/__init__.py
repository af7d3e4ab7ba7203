"""Writes what the guide does not write by hand: the pages of the interfaces, and its pictures."""
