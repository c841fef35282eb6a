"""What an engine leaves in its folder for the next one."""

from server.ipc.engine_dir import EngineDir


def test_what_was_measured_goes_and_what_is_served_and_compiled_stays(tmp_path):
    engine_dir = EngineDir(tmp_path / "engine-0")
    engine_dir.prepare()
    engine_dir.compiled.mkdir()
    kept = [engine_dir.catalog, engine_dir.compiled / "generator.engine", engine_dir.loads(7)]
    measured = [engine_dir.batch_size(7), engine_dir.compiled / "layout-cars-1-generator"]
    for file in (*kept, *measured):
        file.write_text("32")
    engine_dir.prepare()
    assert all(file.exists() for file in kept)
    assert not any(file.exists() for file in measured)
