"""models/builtin/detect.onnx -> a checkpoint to go on from (`python -m scripts.training.detect_weights`)."""

import numpy as np
import torch

from scripts.training import packtoml, runs
from scripts.training.corpus import Corpus
from scripts.training.detect import FILE, SMALL
from scripts.training.detect_data import Synthesis
from scripts.training.detect_net import DetectNet
from scripts.training.fitting import FILE as CHECKPOINT
from scripts.training.onnx_weights import restore
from scripts.training.smallnets import centred

PICTURES = 64


def main() -> None:
    args = runs.arguments(__doc__ or "", "detect").parse_args()
    log = runs.start(args)
    synthesis = Synthesis(args.work, Corpus(args.corpus), "train")
    rng = np.random.default_rng(args.seed)
    pictures = np.stack([synthesis.picture(SMALL, rng).pixels for _ in range(PICTURES)])
    model = DetectNet()
    restore(model, packtoml.PACK / FILE, centred(torch.from_numpy(pictures)))
    folder = args.work / "shipped"
    folder.mkdir(exist_ok=True)
    runs.save(folder / CHECKPOINT, mean=model.state_dict())
    log.info("wrote %s; go on with python -m scripts.training.detect --from %s", folder / CHECKPOINT, folder)


if __name__ == "__main__":
    main()
