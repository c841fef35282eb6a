"""Whatever is in a bundle's folder: reading it ends, in a sentence or with the bundle."""

import json

import numpy as np
import pytest
from broken_bundles import BROKEN, graph_with_weights_in, put
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.bundle import repository
from server.bundle.files import file_facts, load_bundle
from server.bundle.manifest import MANIFEST, BundleError, FileFacts
from server.bundle.regular_files import digest

SENTENCE = 2003
"""The characters of a refusal at most."""


@pytest.mark.parametrize("how", BROKEN)
def test_broken_bundle_gives_way_to_the_one_before_with_a_sentence(write_bundle, tmp_path, how):
    write_bundle("1")
    folder = write_bundle("2")
    BROKEN[how](folder)
    with pytest.raises(BundleError) as refusal:
        load_bundle(folder)
    assert refusal.value.is_of_content
    assert len(str(refusal.value)) <= SENTENCE
    assert refusal.value.__cause__ is None or isinstance(refusal.value.__cause__, Exception)
    assert repository.find(tmp_path / "models", "tiny").path.name == "1"


def test_repository_of_other_things_than_folders_is_one_without_bundles(write_bundle, tmp_path):
    write_bundle("1")
    models = tmp_path / "models"
    (models / "loop").symlink_to("loop")
    (models / "file").write_text("no model")
    (models / "tiny" / "2").symlink_to("2")
    (models / "tiny" / "3").write_text("no bundle")
    (models / "tiny" / "1" / "loop").symlink_to("loop")
    assert repository.find(models, "tiny").path.name == "1"


def test_size_is_compared_before_anything_is_hashed(write_bundle, monkeypatch):
    folder = write_bundle()
    with (folder / "golden.npy").open("ab") as file:
        file.truncate(2**40)
    monkeypatch.setattr("server.bundle.files.digest", lambda *_: pytest.fail("it was hashed"))
    with pytest.raises(BundleError, match=r"golden\.npy is not what was exported: 1099511627776"):
        load_bundle(folder)


def test_bundle_that_would_take_too_long_to_hash_is_refused(write_bundle, monkeypatch):
    folder = write_bundle()
    with (folder / "huge").open("wb") as file:
        file.truncate(2**40)
    facts = json.loads((folder / MANIFEST).read_text())
    facts["files"]["huge"] = vars(FileFacts("0" * 64, 2**40))
    (folder / MANIFEST).write_text(json.dumps(facts))
    monkeypatch.setattr("server.bundle.files.digest", lambda *_: pytest.fail("it was hashed"))
    with pytest.raises(BundleError, match="bytes; wanted at most 4294967296"):
        load_bundle(folder)


def test_weights_beside_the_graph_are_files_of_the_bundle(write_bundle):
    folder = write_bundle()
    put(folder, "generator.onnx", graph_with_weights_in("weights.bin"))
    (folder / "weights.bin").write_bytes(b"weights")
    with pytest.raises(
        BundleError, match=r"keeps weights in 'weights\.bin', but its digest is not"
    ):
        load_bundle(folder)
    put(folder, "weights.bin", b"weights")
    bundle = load_bundle(folder)
    (folder / "weights.bin").write_bytes(b"Weights")
    with pytest.raises(BundleError, match=r"weights\.bin is not what was exported: 7 bytes"):
        bundle.check_files()


def test_file_that_grows_while_it_is_read_is_not_read_to_its_end(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"1234567")
    assert file_facts(file).size == 7
    assert digest(file, 3)[0] == 4


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bundle_that_is_altered_anyhow_is_refused_or_whole(tmp_path_factory, data):
    """Bytes of the default bundle's own files, and of a small one's, are changed at random."""
    folder = tmp_path_factory.mktemp("bundle")
    make(folder)
    name = data.draw(st.sampled_from([MANIFEST, "generator.onnx", "golden.npy"]))
    content = bytearray((folder / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        length = data.draw(st.sampled_from([0, 1, 2, 8, 64]))
        content[start : start + length] = data.draw(
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from(
                    [b"[" * 5000, b"9" * 5000, b'"', b"{}", b"null", b"-1", b"1e999", b"NaN", b"\0"]
                ),
            )
        )
    if name == MANIFEST:
        (folder / name).write_bytes(content)
    else:
        put(folder, name, bytes(content))
    try:
        bundle = load_bundle(folder)
    except BundleError as error:
        assert error.is_of_content
        assert len(str(error)) <= SENTENCE
    else:
        assert bundle.key > 0
        assert bundle.golden_images().shape == (2, *bundle.manifest.image.shape)


def make(folder):
    """Write a bundle of two files into ``folder``; the graph has weights in the other one."""
    np.save(folder / "golden.npy", np.zeros((2, 4, 4, 3), np.uint8))
    (folder / "generator.onnx").write_bytes(graph_with_weights_in("golden.npy"))
    names = ("generator.onnx", "golden.npy")
    facts = {
        "schema_version": 1,
        "name": "tiny",
        "version": "1",
        "latents": {"dim": 8, "distribution": "normal", "rule": 1},
        "image": {"shape": [4, 4, 3], "dtype": "uint8", "range": [0, 255], "colors": "RGB"},
        "graph": {"input": "latents", "output": "images", "opset": 18},
        "variants": [
            {
                "name": "fp32",
                "file": "generator.onnx",
                "precision": "float32",
                "rewrite": "none",
                "parity": {},
            }
        ],
        "golden": {"seeds": [0, 1], "sha256": ["", ""], "file": "golden.npy", "tolerance": 2},
        "files": {name: vars(file_facts(folder / name)) for name in names},
        "lineage": {"run": [1, 2, {"a": None}]},
    }
    (folder / MANIFEST).write_text(json.dumps(facts))


def test_error_can_be_written_down_whatever_the_bundle_holds():
    told = str(BundleError("the manifest lists \ud800" + "a" * 10_000))
    assert told.startswith("the manifest lists \\ud800a")
    assert len(told.encode()) < 3000
