"""The networks come back from what was shipped, and processes that learn together agree."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")

from torch import nn  # noqa: E402

from scripts.training import age_gender, parsing  # noqa: E402
from scripts.training.age_gender import AgeGender  # noqa: E402
from scripts.training.detect_net import DetectNet, Detector  # noqa: E402
from scripts.training.dewater import Dewater  # noqa: E402
from scripts.training.embed_net import COARSE, DIMENSIONS, FINE, Embedder  # noqa: E402
from scripts.training.export import FromPixels, export  # noqa: E402
from scripts.training.landmarks import LandmarkNet  # noqa: E402
from scripts.training.landmarks_data import SIZE as SIDE  # noqa: E402
from scripts.training.liveness import Liveness  # noqa: E402
from scripts.training.onnx_weights import restore  # noqa: E402
from scripts.training.packtoml import PACK  # noqa: E402
from scripts.training.parsing import Parser  # noqa: E402
from scripts.training.team import Team, together  # noqa: E402

SIZE = (112, 112)


def test_the_parts_end_where_the_teachers_do() -> None:
    fine, coarse, answer = Embedder().eval().inside(torch.zeros(2, 3, *SIZE))
    assert (fine.shape[1:], coarse.shape[1:], answer.shape[1:]) == (FINE, COARSE, (DIMENSIONS,))


def test_an_exported_network_comes_back_ready_to_learn(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model, faces = Embedder().eval(), torch.rand(8, 3, *SIZE) * 2 - 1
    wanted = model(faces)
    export(FromPixels(model), tmp_path / "embed.onnx", SIZE, ["embedding"], half_weights=True)
    again = Embedder()
    restore(again, tmp_path / "embed.onnx", lambda: again(faces))
    # In training mode the batch norms take their statistics from the batch, which is the one they were set by.
    for mode in (False, True):
        assert torch.cosine_similarity(again.train(mode)(faces), wanted).min() > 0.999


SHIPPED: dict[str, tuple[Callable[[], Any], int]] = {  # the network as it was exported, and a picture's side
    "detect": (lambda: FromPixels(Detector(DetectNet())), 128),
    "landmarks": (lambda: FromPixels(LandmarkNet()), SIDE),
    "embed": (lambda: FromPixels(Embedder()), 112),
    "age_gender": (lambda: FromPixels(age_gender.Answers(AgeGender(Embedder()))), 112),
    "liveness": (Liveness, 80),
    "parsing": (lambda: FromPixels(parsing.Answers(Parser())), 112),
    "dewater": (Dewater, 64),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_what_was_shipped_comes_back_and_answers_the_same(name: str) -> None:
    make, side = SHIPPED[name]
    model, path = make(), PACK / f"{name}.onnx"
    pixels = torch.randint(0, 256, (4, side, side, 3), dtype=torch.uint8)
    restore(model, path, lambda: model(pixels))
    with torch.no_grad():
        answers = model.eval()(pixels)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    wanted = session.run(None, {session.get_inputs()[0].name: pixels.numpy()})
    for want, got in zip(wanted, answers if isinstance(answers, tuple) else [answers], strict=True):
        np.testing.assert_allclose(got.numpy(), want, atol=2e-3 * float(np.abs(want).max()))


def _learn(team: Team, folder: Path) -> None:
    torch.manual_seed(team.rank)
    model = nn.Linear(3, 1)
    model(torch.rand(4, 3)).sum().backward()
    mine = model.weight.grad.clone()
    team.average_gradients(model)
    torch.save((mine, model.weight.grad, team.agreed(float(team.rank))), folder / f"{team.rank}.pt")


def test_a_team_learns_from_the_mean_of_its_gradients(tmp_path: Path) -> None:
    together(_learn, 2, tmp_path)
    (one, mean, said), (other, same, heard) = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert torch.equal(mean, same)
    assert torch.allclose(mean, (one + other) / 2)
    assert (said, heard) == (0.0, 0.0)
