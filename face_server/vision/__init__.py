"""Pixels to faces: decoding, packs of models, adapters, the analyzer. Never sees the store."""
