"""Rows and pictures: the truth that everything else is a projection of."""
