"""Only a bundle that is whole, unaltered and of a known format is ever served."""

import json

import numpy as np
import pytest

from server.bundle.files import file_facts, load_bundle
from server.bundle.manifest import MANIFEST, BundleError, ImageFacts, read_manifest


def edit(folder, change):
    facts = json.loads((folder / MANIFEST).read_text())
    change(facts)
    (folder / MANIFEST).write_text(json.dumps(facts))


def test_manifest_survives_writing_and_reading(write_bundle):
    manifest = load_bundle(write_bundle()).manifest
    assert (manifest.name, manifest.version) == ("tiny", "1")
    assert json.loads(manifest.to_json())["golden"]["seeds"] == [0, 1]


def test_manifest_from_before_plans_were_refused_is_read(write_bundle):
    folder = write_bundle()
    edit(folder, lambda facts: facts["variants"][0].pop("refused"))
    assert read_manifest(folder / MANIFEST).variants[0].refused == []


def test_flipped_byte_is_refused_by_name(write_bundle):
    folder = write_bundle()
    (folder / "generator.onnx").write_bytes(b"b graph")
    with pytest.raises(BundleError, match=r"generator\.onnx is not what was exported: 7 bytes"):
        load_bundle(folder)


def test_missing_file_is_refused_by_name(write_bundle):
    folder = write_bundle()
    (folder / "golden.npy").unlink()
    with pytest.raises(BundleError, match=r"lists golden\.npy, which is not there"):
        load_bundle(folder)


def test_unreadable_file_is_refused_by_name(write_bundle):
    folder = write_bundle()
    (folder / "generator.onnx").unlink()
    (folder / "generator.onnx").symlink_to("/proc/self/mem")  # nobody may read its first byte
    nothing = {"generator.onnx": {"size": 0, "sha256": ""}}
    edit(folder, lambda facts: facts["files"].update(nothing))
    with pytest.raises(BundleError, match=r"generator\.onnx cannot be read: .*Input/output error"):
        load_bundle(folder)


def test_file_that_is_replaced_later_is_found_out(write_bundle):
    bundle = load_bundle(write_bundle())
    bundle.check_files()
    (bundle.path / "generator.onnx").write_bytes(b"b graph")
    with pytest.raises(BundleError, match=r"generator\.onnx is not what was exported"):
        bundle.check_files()


def test_golden_images_of_another_shape_than_the_manifests_are_refused(write_bundle):
    folder = write_bundle(image=ImageFacts([8, 8, 3], "uint8", [0, 255], "RGB"))
    with pytest.raises(BundleError, match=r"uint8 \(2, 4, 4, 3\) .* uint8 \(2, 8, 8, 3\)"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "magic"), (b"no array", "magic"), (None, r"float64 \(2, 4, 4, 3\)")],
)
def test_golden_images_that_are_none_are_refused(write_bundle, content, told):
    folder = write_bundle()
    if content is None:
        np.save(folder / "golden.npy", np.zeros((2, 4, 4, 3)))
    else:
        (folder / "golden.npy").write_bytes(content)
    facts = vars(file_facts(folder / "golden.npy"))
    edit(folder, lambda manifest: manifest["files"].update({"golden.npy": facts}))
    with pytest.raises(BundleError, match=f"golden.npy.*{told}"):
        load_bundle(folder)


def test_file_outside_the_bundle_is_refused(write_bundle, tmp_path, file_facts_of_nothing):
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    (tmp_path / "models" / "tiny" / "outside").write_bytes(b"")
    folder = write_bundle(files={"../outside": file_facts_of_nothing})
    with pytest.raises(BundleError, match="not there"):
        load_bundle(folder)


def test_file_without_a_digest_is_refused(write_bundle):
    folder = write_bundle()
    edit(folder, lambda facts: facts["files"].pop("golden.npy"))
    with pytest.raises(BundleError, match="digest is not in the manifest"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f: f.update(schema_version=2), "schema version 2; this server reads 1"),
        (lambda f: f["latents"].update(rule=2), "wants seed rule 2"),
        (lambda f: f["latents"].update(dim="100"), "latents: dim is '100'; wanted a int"),
        (lambda f: f["image"]["shape"].append(True), r"shape\[3\] is True; wanted a int"),
        (lambda f: f.pop("golden"), "wanted the members"),
        (lambda f: f.update(extra=1), "extra"),
        (lambda f: f["variants"].append("fp16"), r"variants\[1\]"),
    ],
)
def test_wrong_member_is_named(write_bundle, change, told):
    folder = write_bundle()
    edit(folder, change)
    with pytest.raises(BundleError, match=told):
        read_manifest(folder / MANIFEST)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"manifest"'])
def test_manifest_that_is_no_manifest_is_refused(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(BundleError):
        read_manifest(tmp_path / MANIFEST)


def test_unknown_variant_is_answered_with_what_there_is(write_bundle):
    manifest = load_bundle(write_bundle()).manifest
    with pytest.raises(BundleError, match="no variant 'int8'; it has fp32"):
        manifest.variant("int8")
