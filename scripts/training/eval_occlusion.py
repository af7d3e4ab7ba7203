"""See eval_masks: one network, two roles."""

from scripts.training.eval_masks import occlusion as measure

__all__ = ["measure"]
