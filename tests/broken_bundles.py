"""Ways to break a bundle: each function harms the bundle in a folder, which a server must refuse.

Where a file is altered, the manifest says of it what is there: only what it holds is wrong.
"""

import io
import json
import os
import socket

import numpy as np

from server.bundle.files import file_facts
from server.bundle.manifest import MANIFEST

DEEP = "[" * 100_000 + "]" * 100_000


def edit(folder, change):
    """Have ``change`` alter the manifest's parsed JSON."""
    facts = json.loads((folder / MANIFEST).read_text())
    change(facts)
    (folder / MANIFEST).write_text(json.dumps(facts))


def put(folder, name, content):
    """Write a file of the bundle, and state its size and digest."""
    (folder / name).write_bytes(content)
    facts = vars(file_facts(folder / name))
    edit(folder, lambda manifest: manifest["files"].update({name: facts}))


def field(number, content):
    """Return a field of Protocol Buffers that has a length."""
    length, size = len(content), b""
    while length > 127:
        size, length = size + bytes([length & 127 | 128]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content


def graph_with_weights_in(location):
    """Return an ONNX file of one tensor, whose weights are said to be in the file ``location``."""
    entry = field(1, b"location") + field(2, location.encode())
    return field(7, field(5, field(13, entry)))


def deep_graph(levels=3000):
    """Return a graph in an attribute of a node of a graph, and so on."""
    content = b""
    for _ in range(levels):
        content = field(1, field(5, field(6, content)))
    return field(7, content)


def npy(header, pixels=b"\0" * 96):
    """Return a .npy file with that header."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + pixels


def npz():
    content = io.BytesIO()
    np.savez(content, golden=np.zeros((2, 4, 4, 3), np.uint8))
    return content.getvalue()


def pickled():
    content = io.BytesIO()
    np.save(content, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return content.getvalue()


def huge(shape):
    return npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}")


def replace_by(make):
    """Return the harm of having something else than a regular file in a file's place."""

    def harm(folder, name):
        (folder / name).unlink()
        make(folder / name)

    return harm


def listen(path):
    """Leave the socket of a server that is gone."""
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(path.parent)  # the path of a socket may not be long
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.fchdir(here)
        os.close(here)


def sparse(path):
    with path.open("wb") as file:
        file.truncate(2**40)


PLACES = {
    "a pipe": replace_by(os.mkfifo),
    "a device": replace_by(lambda path: path.symlink_to("/dev/zero")),
    "a terminal": replace_by(lambda path: path.symlink_to("/dev/tty")),
    "a folder": replace_by(os.mkdir),
    "a socket": replace_by(listen),
    "a link to itself": replace_by(lambda path: path.symlink_to(path.name)),
    "a link to nothing": replace_by(lambda path: path.symlink_to("nowhere")),
    "a file of the kernel without an end": replace_by(lambda path: path.symlink_to("/proc/kmsg")),
    "a terabyte of nothing": replace_by(sparse),
    "nothing": replace_by(lambda path: None),
}
NAMES = (MANIFEST, "generator.onnx", "golden.npy")

MANIFESTS = {
    "deep": lambda f: (f / MANIFEST).write_text(DEEP),
    "deep in a member": lambda f: (f / MANIFEST).write_text(
        (f / MANIFEST).read_text().replace('"lineage": {}', f'"lineage": {{"a": {DEEP}}}')
    ),
    "deep as far as is parsed": lambda f: (f / MANIFEST).write_text(
        (f / MANIFEST)
        .read_text()
        .replace('"lineage": {}', f'"lineage": {{"a": {"[" * 500 + "]" * 500}}}')
    ),
    "long": lambda f: (f / MANIFEST).write_text((f / MANIFEST).read_text() + " " * 2**21),
    "no UTF-8": lambda f: (f / MANIFEST).write_bytes(b"\xff\xfe{}"),
    "long number": lambda f: (f / MANIFEST).write_text("1" * 10_000),
    "a name that no file has": lambda f: edit(
        f, lambda m: m["files"].update({"a\0b": m["files"]["golden.npy"]})
    ),
    "a name that is no text": lambda f: edit(
        f, lambda m: m["files"].update({"\ud800": m["files"]["golden.npy"]})
    ),
    "a long name": lambda f: edit(
        f, lambda m: m["files"].update({"a" * 5000: m["files"]["golden.npy"]})
    ),
    "endless latents": lambda f: edit(f, lambda m: m["latents"].update(dim=10**12)),
    "no latents": lambda f: edit(f, lambda m: m["latents"].update(dim=0)),
    "endless images": lambda f: edit(f, lambda m: m["image"].update(shape=[10**9, 10**9, 3])),
    "negative images": lambda f: edit(f, lambda m: m["image"].update(shape=[-4, -4, 3])),
    "two channels": lambda f: edit(f, lambda m: m["image"].update(shape=[4, 4, 2])),
    "the colors of others": lambda f: edit(f, lambda m: m["image"].update(colors="RGBA")),
    "flat images": lambda f: edit(f, lambda m: m["image"].update(shape=[4, 4])),
    "no golden images": lambda f: edit(f, lambda m: m["golden"].update(seeds=[])),
    "a seed below 0": lambda f: edit(f, lambda m: m["golden"].update(seeds=[0, -1])),
    "more seeds than images": lambda f: edit(f, lambda m: m["golden"].update(seeds=[0] * 1000)),
    "a size below 0": lambda f: edit(f, lambda m: m["files"]["golden.npy"].update(size=-1)),
}
GOLDEN = {
    "an npz": npz(),
    "pickled": pickled(),
    "a claim of a terabyte": huge((2**40,)),
    "a claim beyond all numbers": huge((2**70, 2**70)),
    "a claim of less than nothing": huge((-1, 4, 4, 3)),
    "a deep header": npy("(" * 9000 + ")" * 9000),
    "a header of signs": npy("-" * 9000 + "1"),
    "a header without an end": npy("{'descr': "),
    "half of its pixels": huge((2, 4, 4, 3))[:-48],
    "a pixel too many": huge((2, 4, 4, 3)) + b"\0",
    "columns first": huge((2, 4, 4, 3)).replace(b"False", b"True "),
    "a format to come": b"\x93NUMPY\x09\x00" + bytes(200),
}
GRAPHS = {
    "weights beside it": graph_with_weights_in("weights.bin"),
    "weights above": graph_with_weights_in("../../../weights.bin"),
    "weights of the host": graph_with_weights_in("/etc/passwd"),
    "no graph": b"no graph at all",
    "half a graph": graph_with_weights_in("weights.bin")[:-3],
    "groups without an end": b"\x0b" * 100_000,
    "a deep graph": deep_graph(),
}


BROKEN = {
    **{
        f"{name} is {what}": lambda f, name=name, harm=harm: harm(f, name)
        for what, harm in PLACES.items()
        for name in NAMES
    },
    **{f"manifest: {what}": harm for what, harm in MANIFESTS.items()},
    **{
        f"golden images: {what}": lambda f, content=content: put(f, "golden.npy", content)
        for what, content in GOLDEN.items()
    },
    **{
        f"graph: {what}": lambda f, content=content: put(f, "generator.onnx", content)
        for what, content in GRAPHS.items()
    },
}
"""Every way, by its name."""
