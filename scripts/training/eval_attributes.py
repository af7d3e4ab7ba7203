"""See eval_heads: one network, two roles."""

from scripts.training.eval_heads import attributes as measure

__all__ = ["measure"]
