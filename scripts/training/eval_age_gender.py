"""See eval_heads: one network, two roles."""

from scripts.training.eval_heads import age_gender as measure

__all__ = ["measure"]
