"""The teacher of the emotion head: face-api's expression network (MIT), rebuilt from its weights."""

import json
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from scripts.training import teachers

Floats = NDArray[np.float32]


class FaceApiExpressions:
    """Probabilities of seven emotions for 112x112 RGB crops of 1.2 boxes, in our order."""

    # Theirs: neutral happy sad angry fearful disgusted surprised. Ours: angry disgust fear happy sad surprise neutral.
    ORDER = (3, 5, 4, 1, 2, 6, 0)
    MEAN = torch.tensor([122.782, 117.001, 104.298]).view(3, 1, 1)

    @cached_property
    def _weights(self) -> dict[str, Tensor]:
        folder = teachers.folder() / "faceapi"
        listing = json.loads((folder / "face_expression_model-weights_manifest.json").read_text())[0]["weights"]
        data, place, weights = (folder / "face_expression_model.bin").read_bytes(), 0, {}
        for entry in listing:
            count, packed = int(np.prod(entry["shape"])), entry.get("quantization")
            kind = np.dtype(np.uint8 if packed else np.float32)
            values = np.frombuffer(data, kind, count, place).astype(np.float32)
            place += count * kind.itemsize
            if packed:
                values = values * packed["scale"] + packed["min"]
            weights[entry["name"]] = torch.tensor(values.reshape(entry["shape"]))
        return weights

    @torch.no_grad()
    def __call__(self, faces: NDArray[np.uint8]) -> Floats:
        x = (torch.from_numpy(faces).permute(0, 3, 1, 2).float() - self.MEAN) / 255
        for block in range(4):
            x = self._block(x, f"dense{block}")
        x = F.avg_pool2d(x, 7, 2).flatten(1)
        logits = x @ self._weights["fc/weights"] + self._weights["fc/bias"]
        return np.asarray(logits.softmax(1)[:, list(self.ORDER)].numpy(), np.float32)

    def _block(self, x: Tensor, name: str) -> Tensor:
        """Four convolutions, each fed with the sum of all before it."""
        total = torch.relu(self._conv(x, f"{name}/conv0", 2))
        running = total
        for number in (1, 2, 3):
            total = total + self._conv(running, f"{name}/conv{number}", 1)
            running = torch.relu(total)
        return running

    def _conv(self, x: Tensor, name: str, stride: int) -> Tensor:
        weights = self._weights
        x = F.pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))  # TensorFlow's "same"
        bias = weights[f"{name}/bias"]
        if f"{name}/filters" in weights:
            return F.conv2d(x, weights[f"{name}/filters"].permute(3, 2, 0, 1), bias, stride)
        depthwise = weights[f"{name}/depthwise_filter"].permute(2, 3, 0, 1)
        x = F.conv2d(x, depthwise, None, stride, groups=len(depthwise))
        return F.conv2d(x, weights[f"{name}/pointwise_filter"].permute(3, 2, 0, 1), bias)
