"""What travels over the bus arrives as it was sent, field by field."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from face_server import errors
from face_server.bus import wire
from face_server.bus.remote import RemoteVision
from face_server.errors import Busy, Cancelled, ModelMissing, Stage
from face_server.model import Analysis, Cleaned, Task, Want
from face_server.vision.protocol import VisionInfo

SHAPES = arrays.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=6)


def anything(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type of the core, made from its annotations: a new field is tested the day it comes."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return st.builds(kind, **{each.name: anything(hints[each.name]) for each in dataclasses.fields(kind)})  # type: ignore[arg-type]
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(anything, arguments))
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(anything(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(anything, arguments))
    if origin is np.ndarray:
        return arrays.arrays(typing.get_args(arguments[1])[0], SHAPES)
    if kind is Want:
        return st.integers(0, sum(flag.value for flag in Want)).map(Want)
    plain = {
        int: st.integers(0, 2**40),
        float: st.floats(allow_nan=False),
        str: st.text(max_size=5),
        bytes: st.binary(max_size=9),
        bool: st.booleans(),
        types.NoneType: st.none(),
    }
    return plain[kind]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and np.array_equal(one, other, equal_nan=True)
    if dataclasses.is_dataclass(one):
        fields = dataclasses.fields(one)
        return type(one) is type(other) and all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


@pytest.mark.parametrize("kind", [Task, Analysis, Cleaned, VisionInfo])
def test_what_is_sent_arrives(kind: type) -> None:
    @given(anything(kind))
    @settings(max_examples=60, deadline=None, database=None)
    def check(value: Any) -> None:
        arrived: Any = wire.decode(kind, wire.encode(value))
        assert same(value, arrived), (value, arrived)

    check()


def test_arrays_arrive_writable() -> None:
    task = wire.decode(Analysis, wire.encode(Analysis(1, 1, ())))
    assert task == Analysis(1, 1, ())
    vector = wire._array(np.ndarray, wire._plain(np.ones(3, np.float32)))
    vector[0] = 2
    assert vector.tolist() == [2, 1, 1]


@pytest.mark.parametrize(
    "error",
    [
        *(Busy(stage) for stage in Stage),
        Cancelled(),
        ModelMissing("dewater"),
        errors.BadPicture("not a picture"),
        errors.PictureTooLarge("9000x9000"),
    ],
    ids=repr,
)
def test_failures_arrive(error: Exception) -> None:
    arrived = wire.raised(*wire.failure(error))
    assert type(arrived) is type(error)
    assert (str(arrived), vars(arrived)) == (str(error), vars(error))


def test_what_nobody_expected_is_told_as_such() -> None:
    arrived = wire.raised(*wire.failure(ZeroDivisionError("by zero")))
    assert isinstance(arrived, wire.WorkerFailed)
    assert "by zero" in str(arrived)


def test_the_bytes_are_those_of_this_version() -> None:
    """When this fails the shape of a message has changed: raise VERSION, and write the new bytes down here."""
    header = wire.Header(b"12345678", "answers", 2.5, 7, Task(Want.EMBEDDING, max_faces=2))
    reply = wire.Reply(b"12345678", {"embed": 1.5}, ("Busy", "queue"))
    fields = {each.name for kind in (Task, Analysis) for each in dataclasses.fields(kind)}
    assert wire.VERSION == 1
    assert wire.encode(header).hex() == (
        "95c4083132333435363738a7616e7377657273cb40040000000000000787a477616e7401a96d61785f666163657302a762795f61726561"
        "c3a8616e795f7475726ec2a764657761746572c2a473706f74c0a8706f727472616974cb0000000000000000"
    )
    assert wire.encode(reply).hex() == (
        "95c408313233343536373881a5656d626564cb3ff800000000000092a442757379a57175657565c0c0"
    )
    assert fields == {
        *("want", "max_faces", "by_area", "any_turn", "dewater", "spot", "portrait", "width", "height", "faces")
    }


async def test_an_answer_that_cannot_be_read_costs_no_other_answer() -> None:
    info = VisionInfo("told", Want.NONE, "model-1", 8, ())
    vision = RemoteVision("redis://127.0.0.1:1", "digest", info, queue_bytes=1, meter=cast(Any, None))
    job = vision._job(b"picture", None)
    vision._away[job.id] = job

    async def read() -> list[bytes]:
        return [b"\xc1", wire.encode(wire.Reply(job.id, {}, None))]

    vision._link.read, vision._up = read, True  # type: ignore[method-assign, assignment]
    await vision._read()
    assert job.answered
    await vision.close()
