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


def test_only_this_user_may_enter_the_directory_even_if_an_older_release_made_it(tmp_path):
    engine_dir = EngineDir(tmp_path / "engine-0")
    engine_dir.folder.mkdir(mode=0o755)
    engine_dir.prepare()
    assert engine_dir.folder.stat().st_mode & 0o777 == 0o700
