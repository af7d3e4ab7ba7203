"""A network that grows goes on from what the smaller one knows."""

import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")

from scripts.training.embed_net import Embedder, deepened, resized  # noqa: E402


def test_a_deeper_embedder_answers_nearly_as_the_one_it_comes_from() -> None:
    torch.manual_seed(1)
    small, large = (Embedder(64, depth=depth).eval() for depth in ((0, 1, 1, 1), (0, 1, 2, 3)))
    large.load_state_dict(deepened(small.state_dict(), large))
    faces = torch.rand(4, 3, 64, 64) - 0.5
    alike = torch.cosine_similarity(small(faces), large(faces))
    assert 0.9 < float(alike.min()) <= float(alike.max()) < 1


def test_the_same_depth_and_size_change_nothing() -> None:
    model = Embedder(64)
    state = model.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in deepened(resized(state, 64), Embedder(64)).items())
