"""Only a bundle that is whole, unaltered and of a known format is ever served."""

import json
from pathlib import Path

import numpy as np
import pytest

from server.bundle.files import file_facts, load_bundle
from server.bundle.manifest import MANIFEST, BundleError, ImageFacts, read_manifest

SHIPPED = sorted((Path(__file__).parents[3] / "models").glob("*/*"))


def edit(folder, change):
    facts = json.loads((folder / MANIFEST).read_text())
    change(facts)
    (folder / MANIFEST).write_text(json.dumps(facts))


def test_manifest_survives_writing_and_reading(write_bundle):
    manifest = load_bundle(write_bundle()).manifest
    assert (manifest.name, manifest.version) == ("tiny", "1")
    assert json.loads(manifest.to_json())["golden"]["seeds"] == [0, 1]


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: "/".join(folder.parts[-2:]))
def test_shipped_lineage_tells_the_epochs_that_were_trained(folder):
    trained = read_manifest(folder / MANIFEST).lineage["training"]
    steps_an_epoch = trained["data"]["images"] // trained["recipe"]["batch_size"]
    assert trained["steps"] == trained["epochs"] * steps_an_epoch


def test_manifest_from_before_plans_were_refused_is_read(write_bundle):
    folder = write_bundle()
    edit(folder, lambda facts: facts["variants"][0].pop("refused"))
    assert read_manifest(folder / MANIFEST).variants[0].refused == []


def test_manifest_from_before_batches_were_padded_is_read(write_bundle):
    folder = write_bundle()
    edit(folder, lambda facts: facts["variants"][0].pop("least_rows", None))
    assert read_manifest(folder / MANIFEST).variants[0].least_rows == {}


def test_manifest_without_classes_is_written_as_before_there_were_any(write_bundle):
    manifest = read_manifest(write_bundle() / MANIFEST)
    assert manifest.classes == []
    assert "classes" not in json.loads(manifest.to_json())


def test_classes_are_written_and_read_and_checked(write_bundle):
    folder = write_bundle()
    edit(folder, lambda facts: facts.update(classes=["cat", "dog"]))
    manifest = read_manifest(folder / MANIFEST)
    assert manifest.classes == json.loads(manifest.to_json())["classes"] == ["cat", "dog"]
    edit(folder, lambda facts: facts.update(classes=["cat", "cat"]))
    with pytest.raises(BundleError, match="classes: 'cat' is there twice"):
        read_manifest(folder / MANIFEST)
    edit(folder, lambda facts: facts.update(classes=["cat", 2]))
    with pytest.raises(BundleError, match=r"classes\[1\] is 2; wanted a str"):
        read_manifest(folder / MANIFEST)


@pytest.mark.parametrize("rows", [0, 9, 2**40])
def test_number_of_rows_to_pad_to_is_bounded(rows, write_bundle):
    folder = write_bundle()
    edit(folder, lambda facts: facts["variants"][0].update(least_rows={"cpu/f32": rows}))
    with pytest.raises(BundleError, match="least_rows: wanted 1 to 8 for each"):
        read_manifest(folder / MANIFEST)


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
        (
            lambda f: f["latents"].update(rule=2),
            r"wants seed rule 2 \('normal'\); this server has",
        ),
        (lambda f: f["latents"].update(distribution="uniform"), r"wants seed rule 1 \('uniform'\)"),
        (lambda f: f["latents"].update(distribution="cauchy"), r"wants seed rule 1 \('cauchy'\)"),
        (lambda f: f["latents"].update(dim="100"), "latents: dim is '100'; wanted a int"),
        (lambda f: f["image"]["shape"].append(True), r"shape\[3\] is True; wanted a int"),
        (
            lambda f: f["image"].update(shape=[4, 4, 2]),
            r"shape is \[4, 4, 2\]; wanted height and width of 1 to 4096, and 1, 3 or 4 channels",
        ),
        (
            lambda f: f["image"].update(shape=[4, 4, 1]),
            r"image: colors is 'RGB'; wanted \"grey\" for the shape \[4, 4, 1\]",
        ),
        (lambda f: f["image"].update(colors="BGR"), "colors is 'BGR'; wanted \"RGB\""),
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


@pytest.mark.parametrize(("channels", "colors"), [(1, "grey"), (3, "RGB"), (4, "RGBA")])
def test_images_are_grey_rgb_or_rgba(write_bundle, channels, colors):
    folder = write_bundle(image=ImageFacts([4, 4, channels], "uint8", [0, 255], colors))
    assert read_manifest(folder / MANIFEST).image.colors == colors


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"manifest"'])
def test_manifest_that_is_no_manifest_is_refused(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(BundleError):
        read_manifest(tmp_path / MANIFEST)


def test_unknown_variant_is_answered_with_what_there_is(write_bundle):
    manifest = load_bundle(write_bundle()).manifest
    with pytest.raises(BundleError, match="no variant 'int8'; it has fp32"):
        manifest.variant("int8")


def test_directions_are_written_and_read_and_are_no_part_of_the_key(write_bundle):
    folder = write_bundle()
    before = load_bundle(folder)
    assert "directions" not in json.loads(before.manifest.to_json())
    along = [{"name": "dark to light", "latents": [0.5] * 8}]
    edit(folder, lambda facts: facts.update(directions=along))
    after = load_bundle(folder)
    assert json.loads(after.manifest.to_json())["directions"] == along
    assert after.key == before.key
    edit(folder, lambda facts: facts["golden"].update(tolerance=1))
    assert load_bundle(folder).key != before.key


def test_evaluation_is_written_and_read_and_is_no_part_of_the_key(write_bundle):
    folder = write_bundle()
    before = load_bundle(folder)
    assert "evaluation" not in before.manifest.to_json()
    name, wanted = next(iter(before.manifest.files.items()))
    found = {"how": {"images": 6000}, "results": {"swd": 8.97}}
    old = {name: {"sha256": wanted.sha256, "size": wanted.size}}
    edit(folder, lambda facts: facts.update(evaluation=found, before_evaluation=old))
    after = load_bundle(folder)
    assert json.loads(after.manifest.to_json())["evaluation"] == found
    assert after.key == before.key
    edit(folder, lambda facts: facts["before_evaluation"][name].update(size=1))
    assert load_bundle(folder).key != before.key


@pytest.mark.parametrize(
    ("directions", "told"),
    [
        ([("a", [0.5] * 7)], "'a' has 7 numbers; wanted 8 finite ones"),
        ([("a", [0.5] * 7 + [float("nan")])], "wanted 8 finite ones"),
        ([("a", [0.5] * 8)] * 2, "'a' is there twice"),
        ([("", [0.5] * 8)], "the name '' is none of 1 to 80 characters"),
        ([("a\nb", [0.5] * 8)], "characters that can be printed"),
        ([("x" * 81, [0.5] * 8)], "of 1 to 80 characters"),
        ([(str(i), [0.5] * 8) for i in range(17)], "17 are there; wanted at most 16"),
        ([("a", [1] * 8)], r"latents\[0\] is 1; wanted a float"),
    ],
)
def test_directions_are_checked(write_bundle, directions, told):
    folder = write_bundle()
    facts = [{"name": name, "latents": latents} for name, latents in directions]
    edit(folder, lambda manifest: manifest.update(directions=facts))
    with pytest.raises(BundleError, match=told):
        read_manifest(folder / MANIFEST)
