"""A bundle laid out as another server wants it: ``python -m export.layout BUNDLE --for triton``.

Triton reads a model repository: a folder a model, with ``config.pbtxt`` and a folder a version in
it. Versions of one model that are laid out into the same repository stand side by side there.

Source: the Triton Inference Server's pages on its model repository and its model configuration.
"""

import argparse
import shutil
import sys
from pathlib import Path

import onnx

from export.convert import dims
from server.bundle.external_data import external_files
from server.bundle.files import Bundle, load_bundle
from server.bundle.manifest import BundleError
from server.runtime.plans import VARIANT

MAX_BATCH_SIZE = 64
"""The images of a batch at most, beyond which a processor draws no more of them a second."""
CONFIG_FILE, MODEL_FILE = "config.pbtxt", "model.onnx"
"""The names that Triton looks for."""
TYPES: dict[int, str] = {
    onnx.TensorProto.FLOAT: "TYPE_FP32",
    onnx.TensorProto.UINT8: "TYPE_UINT8",
}
"""Triton's names of the types that the inputs and outputs of a bundle's graphs have."""


def lay_out_for_triton(
    bundle: Bundle,
    out: Path,
    variant: str = VARIANT,
    max_batch_size: int = MAX_BATCH_SIZE,
    link: bool = False,
) -> Path:
    """Write ``bundle`` into the Triton model repository ``out`` and return the model's folder.

    ``link`` makes a symbolic link to the graph instead of a copy.

    Raises:
        BundleError: the bundle has no such variant.
        OSError: the folder cannot be written.
    """
    manifest = bundle.manifest
    graph = bundle.path / manifest.variant(variant).file
    config = triton_config(
        onnx.load(str(graph), load_external_data=False), manifest.name, max_batch_size
    )
    folder = out / manifest.name
    version = folder / manifest.version
    version.mkdir(parents=True, exist_ok=True)
    _place(graph, version / MODEL_FILE, link)
    for name in external_files(graph):  # the graph names them, so they keep their names
        _place(graph.with_name(name), version / name, link)
    (folder / CONFIG_FILE).write_text(config)
    return folder


def triton_config(model: onnx.ModelProto, name: str, max_batch_size: int) -> str:
    """Return the ``config.pbtxt`` of ``model``, called ``name``; shapes are without the batch.

    An empty ``dynamic_batching`` waits for nothing: what has come while a batch was drawn is the
    next batch.
    """
    return f"""\
name: "{name}"
backend: "onnxruntime"
max_batch_size: {max_batch_size}
input [{_tensor(model.graph.input[0])}]
output [{_tensor(model.graph.output[0])}]
dynamic_batching {{ }}
"""


def _tensor(value: onnx.ValueInfoProto) -> str:
    kind = TYPES[value.type.tensor_type.elem_type]
    shape = ", ".join(str(size) for size in dims(value)[1:])
    return f'{{ name: "{value.name}" data_type: {kind} dims: [{shape}] }}'


def _place(source: Path, target: Path, link: bool) -> None:
    """Put a copy of ``source``, or a link to it, at ``target``; what was there is replaced."""
    draft = target.with_name(f".{target.name}")  # Triton, if it polls, sees the old file or the new
    draft.unlink(missing_ok=True)
    if link:
        draft.symlink_to(source.resolve())
    else:
        shutil.copyfile(source, draft)
    draft.replace(target)


def main(argv: list[str] | None = None) -> int:
    """Lay a bundle out as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m export.layout",
        description="Lay a bundle out as another server wants it.",
        epilog="example: python -m export.layout models/cars-dcgan/2 --for triton --out triton",
    )
    add = parser.add_argument
    add("bundle", type=Path, help="directory of the bundle, e.g. models/cars-dcgan/2")
    add("--for", required=True, choices=["triton"], help="the server that will read it")
    add("--out", type=Path, required=True, metavar="DIR", help="the model repository to write into")
    add("--variant", default=VARIANT, help=f"the bundle's variant (default: {VARIANT})")
    add("--link", action="store_true", help="link to the bundle's graph instead of copying it")
    size = MAX_BATCH_SIZE
    add("--max-batch-size", type=_positive, default=size, metavar="N", help=f"default: {size}")
    options = parser.parse_args(argv)
    try:
        bundle = load_bundle(options.bundle)
        folder = lay_out_for_triton(
            bundle, options.out, options.variant, options.max_batch_size, options.link
        )
    except BundleError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"error: {options.out} cannot be written: {error}; give another --out", file=sys.stderr
        )
        return 1
    print(f"wrote {folder}")
    return 0


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
