"""Adapters that read values off faces: our multi-task heads, liveness, pose, and insightface's age and gender."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from face_server.vision.adapters.base import Net, Params, Readings, adapter, blob, only, side_of, softmax
from face_server.vision.align import Floats, floats, roll_of
from face_server.vision.heads import HEADS
from face_server.vision.view import Crop, View


@adapter("heads")
class Heads:
    """Ours, and what is drawn to look like it: uint8 crops, every output a head by its name, ready to use."""

    def __init__(self, name: str, nets: Sequence[Net], params: Params) -> None:
        self.net, _ = only(nets)
        self.crop = Crop.of(params, int(params.get("size", side_of(self.net, 112))))
        self.heads = frozenset(params.get("heads", self.net.outputs)) & frozenset(HEADS.values())
        self.aligned = self.crop.kind == "aligned"

    def read(self, view: View) -> Readings:
        answer = view.answer(self.net, self.crop)
        return {head: answer[head] for head in self.heads}


@adapter("genderage")
class GenderAge:
    """insightface's: two logits (female, male) and the age in hundreds of years."""

    heads = frozenset({"age", "gender"})
    aligned = False

    def __init__(self, name: str, nets: Sequence[Net], params: Params) -> None:
        self.net, self.input = only(nets)
        self.crop = Crop("box", side_of(self.net, 96), scale=float(params.get("scale", 1.5)))
        self.mean, self.std = params.get("mean", 0.0), params.get("std", 1.0)

    def read(self, view: View) -> Readings:
        batch = blob(view.crops(self.crop), self.mean, self.std)
        rows = next(iter(self.net.run({self.input: batch}).values()))
        return {"gender": softmax(rows[:, :2]), "age": rows[:, 2] * 100}


class _Liveness:
    """`live` on the calibrated scale, `live_raw` the network's own probability."""

    heads = frozenset({"live", "live_raw"})
    aligned = False

    def __init__(self, params: Params) -> None:
        self.calibration = params.get("calibration")

    def readings(self, raw: Floats, probability: Floats) -> Readings:
        """`raw`: what the calibration begins from."""
        if self.calibration:
            live = np.interp(raw, self.calibration["raw"], self.calibration["score"]).astype(np.float32)
        else:
            live = probability
        return {"live": live, "live_raw": probability}


@adapter("minifasnet")
class MiniFasNet(_Liveness):
    """Silent-Face's networks, each with its own scale of crop, averaged. Float BGR 0..255; class 1 is a live face."""

    def __init__(self, name: str, nets: Sequence[Net], params: Params) -> None:
        super().__init__(params)
        scales = [float(scale) for scale in params["scales"]]
        self.parts = [
            (net, Crop("inside", side_of(net, 80), scale=scale)) for net, scale in zip(nets, scales, strict=True)
        ]

    def read(self, view: View) -> Readings:
        chances = []
        for net, crop in self.parts:
            batch = blob(view.crops(crop), bgr=True)
            logits = next(iter(net.run({next(iter(net.inputs)): batch}).values()))
            chances.append(softmax(logits)[:, 1])
        mean = floats(np.mean(chances, axis=0))
        return self.readings(mean, mean)


@adapter("crops_softmax")
class CropsSoftmax(_Liveness):
    """Ours: several uint8 crops of each face, one input each; the answer is a probability or its logit."""

    def __init__(self, name: str, nets: Sequence[Net], params: Params) -> None:
        super().__init__(params)
        self.net = nets[0]
        names = params.get("inputs") or list(self.net.inputs)
        self.parts = {
            str(name): Crop("inside", int(size), scale=float(scale), smooth=True)
            for name, scale, size in zip(names, params["scales"], params["sizes"], strict=True)
        }
        self.output = str(params.get("output", "live"))

    def read(self, view: View) -> Readings:
        answer = self.net.run({name: view.crops(crop) for name, crop in self.parts.items()})
        raw = answer[self.output].reshape(-1)
        return self.readings(raw, 1 / (1 + np.exp(-raw)) if self.output == "logit" else raw)


@adapter("fsanet")
class FsaNet:
    """One or more networks, averaged; trained on upright heads, so the roll is turned away first and added after."""

    heads = frozenset({"pose"})
    aligned = False

    def __init__(self, name: str, nets: Sequence[Net], params: Params) -> None:
        self.nets = nets
        self.crop = Crop("box", side_of(nets[0], 64), scale=float(params.get("scale", 1.2)), upright=True)

    def read(self, view: View) -> Readings:
        batch = blob(view.crops(self.crop), mean=127.5, std=128.0, bgr=True)
        answers = [next(iter(net.run({next(iter(net.inputs)): batch}).values())) for net in self.nets]
        # Its yaw and pitch grow to the image's left and upwards: the other way round from ours.
        pose = floats(np.mean(answers, axis=0)) * floats([-1, -1, 1])
        pose[:, 2] += roll_of(view.faces.points)
        return {"pose": pose}
