"""The faster layout is taken, on a device of known latency."""

import pytest

from server.runtime.tensor_layout import faster_layout


class Device:
    """A GPU that takes ``seconds`` for a batch in each layout, the first time a hundred times."""

    def __init__(self, **seconds):
        self.seconds = seconds
        self.now = 0.0
        self.opened = []

    def clock(self):
        return self.now

    def prepare(self, nhwc):
        name = "nhwc" if nhwc else "nchw"
        self.opened.append(name)
        if name not in self.seconds:
            raise RuntimeError("no kernel for this layout")
        first = [100]

        def run(rows):
            self.now += self.seconds[name] * (first.pop() if first else 1)

        return run


@pytest.mark.parametrize(
    ("device", "nhwc"),
    [
        (Device(nchw=0.002, nhwc=0.001), True),
        (Device(nchw=0.001, nhwc=0.002), False),
        (Device(nhwc=0.002), True),
        (Device(nchw=0.002), False),
        (Device(), False),
    ],
    ids=["nhwc", "nchw", "nhwc alone", "nchw alone", "neither"],
)
def test_faster_one_of_those_that_run_is_taken(device, nhwc):
    assert faster_layout(device.prepare, None, device.clock) is nhwc


def test_what_was_measured_is_not_measured_again(tmp_path, caplog):
    caplog.set_level("INFO")
    note = tmp_path / "compiled" / "layout"
    device = Device(nchw=0.002, nhwc=0.001)
    assert faster_layout(device.prepare, note, device.clock)
    assert "256 images in nchw 2.00 ms, nhwc 1.00 ms: nhwc it is" in caplog.text
    other = Device(nchw=0.001, nhwc=0.002)
    assert faster_layout(other.prepare, note, other.clock)
    assert other.opened == []


def test_layout_that_cannot_be_noted_is_taken_all_the_same(tmp_path):
    (tmp_path / "compiled").touch()
    device = Device(nchw=0.002, nhwc=0.001)
    assert faster_layout(device.prepare, tmp_path / "compiled" / "layout", device.clock) is True


def test_note_that_says_nothing_is_measured_anew(tmp_path):
    note = tmp_path / "layout"
    note.write_text("")
    device = Device(nchw=0.001, nhwc=0.002)
    assert not faster_layout(device.prepare, note, device.clock)
    assert note.read_text() == "nchw"


def test_device_that_runs_neither_is_not_noted(tmp_path):
    device = Device()
    faster_layout(device.prepare, tmp_path / "layout", device.clock)
    assert not (tmp_path / "layout").exists()
