"""See eval_heads."""

from scripts.training.eval_heads import age_gender as measure

__all__ = ["measure"]
