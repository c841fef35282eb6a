"""What an engine leaves in its folder for the next one."""

from server.ipc.engine_dir import Place


def test_what_was_measured_goes_and_what_is_served_and_compiled_stays(tmp_path):
    place = Place(tmp_path / "engine-0")
    place.prepare()
    place.compiled.mkdir()
    kept = [place.catalog, place.compiled / "generator.engine", place.loads(7)]
    measured = [place.batch_size(7), place.compiled / "layout-cars-1-generator"]
    for file in (*kept, *measured):
        file.write_text("32")
    place.prepare()
    assert all(file.exists() for file in kept)
    assert not any(file.exists() for file in measured)
