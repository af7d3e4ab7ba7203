"""models/builtin/detect.onnx -> a checkpoint to go on from (`python -m scripts.training.detect_weights`).

Batch norms, which the exported file has folded into its convolutions, are put back as `onnx_weights` does.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from scripts.training import packtoml, runs
from scripts.training.corpus import Corpus
from scripts.training.detect import FILE, SMALL
from scripts.training.detect_data import Synthesis
from scripts.training.detect_net import DetectNet
from scripts.training.fitting import FILE as CHECKPOINT
from scripts.training.onnx_weights import layers, unfold
from scripts.training.smallnets import centred

PICTURES = 64


@torch.no_grad()
def restore(path: Path, pictures: Tensor) -> DetectNet:
    """The network of an exported file; `pictures` (float NCHW) give the batch norms their statistics."""
    model = DetectNet().eval()
    norms = {block[0]: block[1] for block in model.modules() if isinstance(block, nn.Sequential) and _is_pair(block)}
    exported = iter(layers(path))

    def fill(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.Conv2d)
        hooks[module].remove()  # asked once more while its answers are looked at
        kernel, offset = next(exported)
        if module in norms:
            unfold(module, norms[module], kernel, offset, inputs[0])
        else:
            assert module.bias is not None
            module.weight.copy_(kernel)
            module.bias.copy_(offset)

    hooks = {m: m.register_forward_pre_hook(fill) for m in model.modules() if isinstance(m, nn.Conv2d)}
    model(pictures)
    return model


def _is_pair(block: nn.Sequential) -> bool:
    return len(block) > 1 and isinstance(block[0], nn.Conv2d) and isinstance(block[1], nn.BatchNorm2d)


def main() -> None:
    args = runs.arguments(__doc__ or "", "detect").parse_args()
    log = runs.start(args)
    synthesis = Synthesis(args.work, Corpus(args.corpus), "train")
    rng = np.random.default_rng(args.seed)
    pictures = np.stack([synthesis.picture(SMALL, rng).pixels for _ in range(PICTURES)])
    model = restore(packtoml.PACK / FILE, centred(torch.from_numpy(pictures)))
    folder = args.work / "shipped"
    folder.mkdir(exist_ok=True)
    runs.save(folder / CHECKPOINT, mean=model.state_dict())
    log.info("wrote %s; go on with python -m scripts.training.detect --from %s", folder / CHECKPOINT, folder)


if __name__ == "__main__":
    main()
