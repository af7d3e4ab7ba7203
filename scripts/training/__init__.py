"""How the builtin pack is made: one module per model, `python -m scripts.training.<model>`, on a CPU or a GPU."""
