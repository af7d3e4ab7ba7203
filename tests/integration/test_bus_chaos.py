"""Everything is killed at random for a minute, and nobody gets a wrong answer."""

import pytest

from tests import chaos


@pytest.mark.serial
def test_nothing_is_wrong_and_nothing_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    counts = chaos.run(seconds=60)
    with capsys.disabled():
        print(f"\n{counts}")
    assert set(counts.faults) == {"worker", "redis", "postgres"}
    assert counts.answers["wrong"] == counts.answers["other"] == counts.answers["broken"] == 0, str(counts)
    assert counts.lost == 0, str(counts)
    assert counts.acknowledged > 0
    assert counts.answers["right"] > counts.acknowledged
    assert counts.recovery < 5
