"""models/builtin/embed.onnx -> a checkpoint to go on from (`python -m scripts.training.embed_weights`).

The exported file has its batch norms folded into the convolutions. Each gets one back that changes nothing: it takes
out the mean and spread that FairFace faces have there, and puts the same in again.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from scripts.training import embed_pairs, packtoml, runs
from scripts.training.corpus import Corpus
from scripts.training.embed_export import FILE
from scripts.training.embed_net import Embedder, Shrink

FACES = 512


def layers(path: Path) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of every convolution and of the linear layer, in the order they are computed."""
    graph = onnx.load(path).graph
    values = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    values |= {
        node.output[0]: values[node.input[0]]
        for node in graph.node
        if node.op_type == "Cast" and node.input[0] in values
    }
    return [
        (torch.from_numpy(values[node.input[1]].astype(np.float32)), torch.from_numpy(values[node.input[2]].copy()))
        for node in graph.node
        if node.op_type in ("Conv", "Gemm")
    ]


def unfold(conv: nn.Conv2d, norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor, inputs: Tensor) -> None:
    """Set a convolution and its batch norm so that together they are weight and bias, in training mode as well."""
    conv.weight.copy_(weight)
    answers = conv(inputs)
    norm.running_mean = answers.mean((0, 2, 3))
    norm.running_var = answers.var((0, 2, 3), unbiased=False)
    norm.weight.copy_((norm.running_var + norm.eps).sqrt())
    norm.bias.copy_(norm.running_mean + bias)


def depth(kernels: Iterable[Tensor]) -> list[int]:
    """How many blocks each stage has after its first."""
    extra: list[int] = []
    for kernel in kernels:
        outputs, inputs = kernel.shape[:2]
        if outputs != inputs:
            extra.append(0)
        else:
            extra[-1] += 1
    return extra


@torch.no_grad()
def restore(path: Path, faces: Tensor, size: int) -> Embedder:
    """The network of an exported file; `faces` (float NCHW, 112x112) give the batch norms their statistics."""
    *convolutions, (weight, bias) = layers(path)
    model = Embedder(size, depth=depth(kernel for kernel, _ in convolutions[:-1])).eval()
    norms = [(block.conv, block.norm) for block in model.body] + [tuple(model.squeeze)]
    for (conv, norm), (kernel, offset) in zip(norms, convolutions, strict=True):
        inputs = [Tensor()]
        hook = conv.register_forward_pre_hook(lambda _, args, seen=inputs: seen.__setitem__(0, args[0]))
        Shrink(model)(faces)
        hook.remove()
        unfold(conv, norm, kernel, offset, inputs[0])
    model.head.weight.copy_(weight)
    model.head.bias.copy_(bias)
    return model


def main() -> None:
    parser = runs.arguments(__doc__ or "", "embed")
    parser.add_argument("--size", type=int, default=64, help="side that the file's network works at")
    args = parser.parse_args()
    log = runs.start(args)
    corpus = Corpus(args.corpus)
    crops = corpus.select("fairface", parts=("train",))[::30][:FACES]
    faces = torch.from_numpy(embed_pairs.faces(corpus, crops)).permute(0, 3, 1, 2)
    model = restore(packtoml.PACK / FILE, (faces.float() - 127.5) / 127.5, args.size)
    path = args.work / "shipped.pt"
    runs.save(path, average=model.state_dict(), size=args.size)
    log.info("wrote %s; go on with python -m scripts.training.embed --name next --from %s", path, path)


if __name__ == "__main__":
    main()
