"""The embedder's network comes back from what was shipped, and processes that learn together agree."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")

from torch import nn  # noqa: E402

from scripts.training.age_gender import AgeGender, publish  # noqa: E402
from scripts.training.embed_net import COARSE, DIMENSIONS, FINE, Embedder  # noqa: E402
from scripts.training.export import FromPixels, export  # noqa: E402
from scripts.training.onnx_weights import restore  # noqa: E402
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
    restore(again, tmp_path / "embed.onnx", faces)
    # In training mode the batch norms take their statistics from the batch, which is the one they were set by.
    for mode in (False, True):
        assert torch.cosine_similarity(again.train(mode)(faces), wanted).min() > 0.999


def test_age_and_gender_come_back_from_a_file_that_looks_twice(tmp_path: Path) -> None:
    torch.manual_seed(2)
    model, faces = AgeGender(Embedder()), torch.rand(8, 3, *SIZE) * 2 - 1
    model(faces)  # batch norms with statistics of their own
    publish(model, tmp_path)
    again = AgeGender(Embedder())
    restore(again, tmp_path / "age_gender.onnx", faces)
    for one, other in zip(again(faces), model.eval()(faces), strict=True):
        assert torch.allclose(one, other, atol=5e-3)


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
