"""See eval_masks: one network, two roles."""

from scripts.training.eval_masks import parsing as measure

__all__ = ["measure"]
