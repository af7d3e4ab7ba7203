"""models/builtin/embed.onnx -> a checkpoint to go on from (`python -m scripts.training.embed_weights`)."""

from pathlib import Path

import torch

from scripts.training import embed_pairs, packtoml, runs
from scripts.training.corpus import Corpus
from scripts.training.embed_export import FILE
from scripts.training.embed_net import Embedder
from scripts.training.onnx_weights import restore
from scripts.training.smallnets import centred

EVERY = 60  # of the training crops give the batch norms their statistics


def shipped(corpus: Corpus, path: Path = packtoml.PACK / FILE) -> Embedder:
    """The network of an exported file."""
    crops = corpus.select("fairface", parts=("train",))[::EVERY]
    model = Embedder()
    restore(model, path, centred(torch.from_numpy(embed_pairs.faces(corpus, crops))))
    return model


def main() -> None:
    args = runs.arguments(__doc__ or "", "embed").parse_args()
    log = runs.start(args)
    path = args.work / "shipped.pt"
    runs.save(path, average=shipped(Corpus(args.corpus)).state_dict())
    log.info("wrote %s; go on with python -m scripts.training.embed --name next --from %s", path, path)


if __name__ == "__main__":
    main()
