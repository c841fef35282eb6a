"""What is served follows the repository, and a bad bundle never takes a good one's place."""

import json
import multiprocessing
import os
import shutil
import signal
from dataclasses import replace

import pytest
from broken_bundles import BROKEN
from tests_engine import SHAPE, picture

from server.bundle import repository
from server.bundle.directions import Direction
from server.bundle.errors import BundleError, BundleUnreadable
from server.bundle.files import floats_key, load_bundle
from server.bundle.manifest import FLOATS, MANIFEST
from server.config import ServerConfig
from server.engine.batcher import Batcher
from server.engine.draining import RETIRE_S
from server.engine.lifecycle import Lifecycle
from server.engine.load_notes import DEATHS, cause_of, witness
from server.engine.loaded import Loaded
from server.engine.models import ServedModel
from server.ipc.arena import SlotShape
from server.ipc.catalog import LOADING, READY, Catalog, Entry
from server.ipc.messages import Ask
from server.runtime.plans import Plan, SessionError
from tests.clock import Clock
from tests.full_disk import fill, needs_mount, small_disk
from tests.patience import PATIENCE_S

PLAN = Plan("cpu", "f32")
FLOAT_PLAN = Plan("openvino", "f32", "float images", floats=True)


class FakeEngine:
    """Serves whatever it is given, and notes it."""

    def __init__(self):
        self.keys = []
        self.busy = set()
        self.announced = 0

    def add(self, served):
        if served.key not in self.keys:
            self.keys.append(served.key)

    def remove(self, key):
        if key in self.busy:
            return False
        if key in self.keys:
            self.keys.remove(key)
        return True

    def announce(self):
        self.announced += 1


class Notes:
    def __init__(self):
        self.refusals = {}
        self.serves = []
        self.draws_floats = []

    def serving(self, bundle, plan, failed):
        self.serves.append(bundle.manifest.version)

    def retired(self, bundle):
        self.serves.remove(bundle.manifest.version)

    def gradient(self, bundle, plan):
        raise AssertionError("no version here has one")

    def floats(self, bundle, plan):
        self.draws_floats.append(bundle.manifest.version)

    def refused(self, ref, is_refused):
        self.refusals[ref] = is_refused


class World:
    """A repository, and a lifecycle with an engine that serve from it."""

    def __init__(self, folder, write_bundle, **settings):
        self.folder = folder
        self.models = folder / "models"
        self.write = write_bundle
        runtime = folder / "run"
        runtime.mkdir(exist_ok=True)
        self.config = ServerConfig(
            models=self.models, model="tiny", poll_s=10, runtime_dir=runtime, **settings
        )
        self.engine_dir = self.config.engine_dirs[0]
        self.clock, self.engine, self.notes = Clock(), FakeEngine(), Notes()
        self.loads = []
        self.failed = []
        self.finish = None
        """The second step of every load."""
        self.broken = set()
        """Versions that no runtime draws rightly."""
        self.deadly = set()
        """Versions that end the engine that loads them; not the test, where one would survive."""
        self.with_floats = set()
        """Versions that have a graph of float images."""
        self.float_error = None
        """The error of opening one."""
        self.deadly_floats = set()
        """Versions whose graphs of float images end the engine that opens them; not the test."""
        self.opens = []
        """The versions whose graphs were opened."""
        self.killed = set()
        """Versions whose loading has the engine killed; not the test either."""

    def load(self, bundle):
        version = bundle.manifest.version
        self.loads.append(f"{bundle.manifest.name}/{version}")
        if version in self.deadly and multiprocessing.parent_process():
            os._exit(9)
        if version in self.killed and multiprocessing.parent_process():
            os.kill(os.getpid(), signal.SIGKILL)
        if version in self.broken:
            raise SessionError("its golden images are off by 200 grey levels")
        served = ServedModel(
            bundle.key, 8, SHAPE, [picture], Batcher(8, 4096, self.clock), plan=str(PLAN)
        )
        loaded = Loaded(served, PLAN, self.failed, self.finish)
        if version in self.with_floats:
            loaded.on_demand[FLOATS].open = lambda: self.open_floats(bundle)
        return loaded

    def open_floats(self, bundle):
        version = bundle.manifest.version
        self.opens.append(version)
        if version in self.deadly_floats and multiprocessing.parent_process():
            os._exit(9)
        if self.float_error:
            raise self.float_error
        key = floats_key(bundle.key)
        shape = SlotShape(SHAPE.image_shape, "float32")
        served = ServedModel(
            key, 8, shape, [picture], Batcher(8, 4096, self.clock), plan="openvino/f32"
        )
        return Loaded(served, FLOAT_PLAN, [])

    def start(self):
        self.engine_dir.folder.mkdir(exist_ok=True)
        self.lifecycle = Lifecycle(self.config, self.load, self.notes, self.engine_dir, self.clock)
        for loaded in self.lifecycle.start():
            for served in loaded.all_served:
                self.engine.add(served)
        self.lifecycle.serve_on(self.engine)  # without the thread: a test says when to look
        return self

    def dies(self, act=None, of=9, aborted=False):
        """Start an engine that does not survive its start, or what it does then.

        Its arbiter sees ``of`` what it dies, and whether it was ``aborted`` for its silence.
        """
        engine = multiprocessing.get_context("fork").Process(target=act or self.start)
        engine.start()
        engine.join(PATIENCE_S)
        assert engine.exitcode == of
        witness(self.engine_dir, engine.pid, cause_of(of, aborted))
        return self

    def announce(self, ref):
        """Write the catalog that a server's arbiter writes before its first engine."""
        name, version = ref.split("/")
        bundle = load_bundle(self.models / ref)
        entry = Entry(name, version, LOADING, "", bundle.key, bundle.manifest)
        self.engine_dir.folder.mkdir(exist_ok=True)
        Catalog(ref, {ref: entry}, (), {name: version}).write(self.engine_dir.catalog)

    def look(self, after_s=10.0):
        self.clock.now += after_s
        self.lifecycle.look()

    def ask(self, action, name, version=""):
        told = []
        self.lifecycle.do(Ask(1, action, name, version), told.append)
        return told[0]

    @property
    def catalog(self):
        return Catalog.read(self.engine_dir.catalog)

    @property
    def ready(self):
        return [ref for ref, entry in self.catalog.entries.items() if entry.state == READY]

    @property
    def float_plans(self):
        return {ref: x.float_plan for ref, x in self.catalog.entries.items() if x.float_plan}

    def reason(self, ref):
        return self.catalog.entries[ref].reason


@pytest.fixture
def world(tmp_path, write_bundle, monkeypatch):
    monkeypatch.setattr("server.engine.models.PAUSE_S", 0)
    write_bundle("1")
    return World(tmp_path, write_bundle)


def damage_file(folder):
    (folder / "generator.onnx").write_bytes(b"b graph")


def lose_file(folder):
    (folder / "golden.npy").unlink()


def lose_manifest(folder):
    (folder / MANIFEST).unlink()


def renew_schema(folder):
    facts = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(facts | {"schema_version": 9}))


def test_newest_version_serves_and_the_others_are_listed(world):
    world.write("2")
    world.start()
    assert world.loads == ["tiny/2"]
    assert (world.catalog.default, world.ready) == ("tiny/2", ["tiny/2"])
    assert world.reason("tiny/1") == "it was not asked for"
    assert world.catalog.find().manifest.version == "2"


def test_plan_that_had_to_take_another_ones_place_is_told(world):
    world.failed = [Plan("cuda", "f16"), Plan("cuda", "f32")]
    world.start()
    assert world.catalog.find().plan == "cpu/f32"
    assert world.catalog.find().instead_of == "cuda/f16"


def test_new_version_takes_over_and_the_old_one_goes_when_nobody_needs_it(world):
    world.start()
    (old,) = world.engine.keys
    world.write("2")
    world.look()  # it may still be being copied
    assert world.catalog.default == "tiny/1"
    world.look()
    assert world.catalog.default == "tiny/2"
    assert world.catalog.newest == {"tiny": "2"}
    assert world.engine.announced
    assert world.engine.keys[0] == old  # requests for it may be on their way
    assert world.notes.serves == ["1", "2"]
    world.engine.busy.add(old)
    world.look(RETIRE_S)
    assert old in world.engine.keys
    world.engine.busy.clear()
    world.look(RETIRE_S)
    assert world.engine.keys == [world.catalog.entries["tiny/2"].key]
    assert world.notes.serves == ["2"]


def test_bundle_that_is_still_being_copied_is_not_tried(world):
    world.start()
    folder = world.write("2")
    whole = (folder / "generator.onnx").read_bytes()
    for part in range(1, len(whole)):
        (folder / "generator.onnx").write_bytes(whole[:part])
        world.look()
    assert world.loads == ["tiny/1"]
    (folder / "generator.onnx").write_bytes(whole)
    world.look()
    world.look()
    assert world.catalog.default == "tiny/2"
    assert world.notes.refusals["tiny/2"] is False


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (damage_file, "generator.onnx is not what was exported"),
        (lose_file, "golden.npy, which is not there"),
        (lose_manifest, "manifest.json cannot be read"),
        (renew_schema, "schema version 9; this server reads 1"),
    ],
)
def test_bad_bundle_is_refused_by_name_and_the_old_one_goes_on(world, caplog, harm, told):
    world.start()
    harm(world.write("2"))
    for _ in range(4):
        world.look()
    assert (world.catalog.default, world.ready) == ("tiny/1", ["tiny/1"])
    assert told in world.reason("tiny/2")
    assert world.notes.refusals["tiny/2"] is True
    assert caplog.text.count("tiny/2 is refused") == 1  # not again and again


def test_failed_self_test_is_refused_until_the_bundle_changes(world):
    world.start()
    world.broken.add("2")
    folder = world.write("2")
    for _ in range(4):
        world.look()
    assert world.loads == ["tiny/1", "tiny/2"]
    assert world.catalog.default == "tiny/1"
    assert "off by 200 grey levels" in world.reason("tiny/2")
    world.broken.clear()
    (folder / "README").write_text("changed")
    world.look()
    world.look()
    assert world.catalog.default == "tiny/2"
    assert world.notes.refusals["tiny/2"] is False


def test_error_that_nobody_expects_is_a_refusal_too(world, monkeypatch):
    world.start()
    world.write("2")

    def fail(_):
        raise MemoryError("no 4 GB")

    monkeypatch.setattr(world.lifecycle._bundles, "_load", fail)
    world.look()
    world.look()
    assert world.reason("tiny/2") == "MemoryError: no 4 GB"
    assert world.catalog.default == "tiny/1"


def test_deleted_version_gives_way_to_the_one_before_which_is_still_warm(world):
    world.start()
    (old,) = world.engine.keys
    folder = world.write("2")
    world.look()
    world.look()
    assert world.catalog.default == "tiny/2"
    shutil.rmtree(folder)
    world.look(0)
    world.clock.now += 10 - RETIRE_S / 2
    world.lifecycle._settle_all(force=False, default=world.catalog.default)
    assert world.catalog.default == "tiny/1"
    assert world.loads == ["tiny/1", "tiny/2"]
    world.look(RETIRE_S)
    assert world.engine.keys == [old]
    assert "tiny/2" not in world.catalog.entries


def test_version_that_was_let_go_is_loaded_again_when_it_is_needed(world):
    world.start()
    folder = world.write("2")
    for _ in range(4):
        world.look()
    shutil.rmtree(folder)
    world.look()
    world.look()
    assert world.loads == ["tiny/1", "tiny/2", "tiny/1"]
    assert world.catalog.default == "tiny/1"


def test_repository_that_vanishes_changes_nothing(world):
    world.start()
    shutil.rmtree(world.models)
    world.look()
    world.look()
    assert (world.catalog.default, world.ready) == ("tiny/1", ["tiny/1"])
    assert len(world.engine.keys) == 1


def test_version_that_is_replaced_in_place_is_served_anew(world):
    world.start()
    (old,) = world.engine.keys
    shutil.rmtree(world.models / "tiny" / "1")
    world.write("1", lineage={"seed": 2})
    world.look()
    world.look()
    assert world.loads == ["tiny/1", "tiny/1"]
    assert world.catalog.find().key not in (old, 0)
    world.look(RETIRE_S)
    assert world.engine.keys == [world.catalog.find().key]


def test_directions_that_get_names_in_place_are_told_without_a_load(world):
    world.start()
    shutil.rmtree(world.models / "tiny" / "1")
    world.write("1", directions=[Direction("dark to light", [0.5] * 8)])
    world.look()
    world.look()
    assert world.loads == ["tiny/1"]
    (found,) = world.catalog.find().manifest.directions
    assert found.name == "dark to light"


def test_version_that_is_spoilt_in_place_goes_on_as_it_was(world):
    world.start()
    folder = world.models / "tiny" / "1"
    whole = (folder / "generator.onnx").read_bytes()
    damage_file(folder)
    world.look()
    world.look()
    assert world.ready == ["tiny/1"]
    assert "what is on the disk now is refused" in world.reason("tiny/1")
    assert world.notes.refusals["tiny/1"] is True
    (folder / "generator.onnx").write_bytes(whole)
    world.look()
    world.look()
    assert (world.reason("tiny/1"), world.notes.refusals["tiny/1"]) == ("", False)
    assert world.loads == ["tiny/1"]


def test_start_takes_the_newest_version_that_can_serve(world):
    damage_file(world.write("3"))
    world.broken.add("2")
    world.write("2")
    world.start()
    assert world.catalog.default == "tiny/1"
    assert world.notes.refusals == {"tiny/3": True, "tiny/2": True, "tiny/1": False}


def test_start_without_any_that_can_serve_is_an_error_with_every_reason(world):
    world.broken.update("12")
    world.write("2")
    with pytest.raises(SessionError, match=r"tiny/latest cannot .*tiny/2: its golden.*tiny/1: its"):
        world.start()


def test_version_that_two_engines_died_of_is_refused_and_the_one_before_serves(world, caplog):
    world.write("2")
    world.deadly.add("2")
    world.dies().dies().start()
    assert world.loads == ["tiny/1"]
    assert (world.catalog.default, world.ready) == ("tiny/1", ["tiny/1"])
    assert "2 engines crashed while they loaded it" in world.reason("tiny/2")
    assert "tiny/2 is refused: 2 engines crashed" in caplog.text
    assert world.notes.refusals == {"tiny/2": True, "tiny/1": False}
    for _ in range(3):
        world.look()
    world.engine_dir.rescan.touch()
    world.look()
    assert world.loads == ["tiny/1"]


def test_version_that_an_engine_died_beside_is_tried_again(world):
    world.write("2")
    world.deadly.add("2")
    for _ in range(3):  # a load that ended clears its name
        world.dies()
        world.start()
        assert world.catalog.default == "tiny/2"
        assert not world.engine_dir.all_loads


def test_version_that_engines_died_of_is_tried_once_its_files_change(world):
    folder = world.write("2")
    world.deadly.add("2")
    world.dies().dies().start()
    shutil.rmtree(folder)
    world.write("2", lineage={"seed": 2})
    world.look()
    world.look()
    assert world.catalog.default == "tiny/2"
    assert (world.reason("tiny/2"), world.notes.refusals["tiny/2"]) == ("", False)


def test_version_that_engines_died_of_is_tried_if_an_administrator_asks_for_it(world):
    world.write("2")
    world.deadly.add("2")
    world.dies().dies().start()
    assert world.ask("load", "tiny", "2") == ""
    assert world.catalog.default == "tiny/2"


def test_default_model_is_tried_whatever_died_of_it_where_there_is_no_other_version(world):
    world.broken.add("1")
    world.write("2")
    world.deadly.add("2")
    world.dies().dies().dies()
    world.start()
    assert world.catalog.default == "tiny/2"


def test_engine_that_dies_of_what_an_administrator_asks_for_leaves_no_wish(world):
    world.start()
    world.write("4", name="other")
    world.deadly.add("4")
    world.dies(lambda: world.ask("load", "other"))
    world.loads.clear()
    world.start()
    assert world.loads == ["tiny/1"]
    assert world.catalog.asked == ()


def test_version_of_the_settings_is_the_only_one(tmp_path, world):
    pinned = World(tmp_path, world.write, version="1")
    world.write("2")
    pinned.start()
    pinned.look()
    pinned.look()
    assert pinned.ready == ["tiny/1"]


@pytest.mark.parametrize(
    ("serve", "ready"),
    [
        ("other", ["other/5", "tiny/2"]),
        ("other/4, tiny/1", ["other/4", "tiny/1", "tiny/2"]),
        ("all", ["other/4", "other/5", "tiny/1", "tiny/2"]),
        ("nobody", ["tiny/2"]),
    ],
)
def test_other_models_and_versions_serve_beside_the_default(tmp_path, world, serve, ready):
    world.write("2")
    for version in "45":
        world.write(version, name="other")
    several = World(tmp_path, world.write, serve=serve).start()
    assert several.ready == ready
    assert several.catalog.default == "tiny/2"
    assert len(several.engine.keys) == len(ready)


def test_administrator_loads_and_unloads(world):
    world.start()
    world.write("4", name="other")
    assert world.ask("load", "other") == ""
    assert world.ready == ["other/4", "tiny/1"]
    assert world.catalog.find("other").version == "4"
    world.look()
    assert world.ready == ["other/4", "tiny/1"]
    assert world.ask("unload", "other") == ""
    assert world.ready == ["tiny/1"]


def test_administrator_loads_an_older_version_by_its_number(world):
    world.write("2")
    world.start()
    assert world.ask("load", "tiny", "1") == ""
    assert world.ready == ["tiny/1", "tiny/2"]
    assert world.catalog.default == "tiny/2"
    assert world.catalog.newest == {"tiny": "2"}


def test_unload_of_a_model_is_refused_only_where_it_unloads_nothing(world):
    world.write("2")
    world.start()
    assert world.ask("load", "tiny", "1") == ""
    assert world.ask("unload", "tiny") == ""
    assert world.ready == ["tiny/2"]
    assert world.ask("unload", "tiny") == "tiny/2 stays: the server's settings want it"


def test_administrator_is_told_why_not(world):
    world.start()
    world.broken.add("2")
    world.write("2")
    assert "off by 200" in world.ask("load", "tiny", "2")
    assert "off by 200" in world.ask("load", "tiny")  # though an older one serves
    assert world.ask("load", "nobody") == "the repository has no nobody"
    assert world.ask("unload", "tiny") == "tiny/1 stays: the server's settings want it"
    assert world.ready == ["tiny/1"]
    assert world.loads == ["tiny/1", "tiny/2", "tiny/2", "tiny/2"]  # once for each wish


def test_administrator_need_not_wait_for_the_next_look(world):
    world.start()
    world.write("2")
    assert world.ask("load", "tiny") == ""
    assert world.catalog.default == "tiny/2"


def test_next_engine_serves_what_administrators_asked_for(tmp_path, world):
    world.start()
    world.write("4", name="other")
    world.ask("load", "other", "4")
    after = World(tmp_path, world.write).start()
    assert after.ready == ["other/4", "tiny/1"]


def test_engine_that_finds_no_catalog_starts_as_if_nothing_had_been_asked_for(tmp_path, world):
    world.start()
    world.write("4", name="other")
    world.ask("load", "other", "4")
    world.engine_dir.catalog.unlink()
    after = World(tmp_path, world.write).start()
    assert after.ready == ["tiny/1"]


def test_catalog_that_is_lost_is_written_anew(tmp_path, world):
    never = World(tmp_path, world.write)
    never.config = replace(never.config, poll_s=0)
    never.start()
    before = never.catalog
    never.engine_dir.catalog.unlink()
    never.look(0)
    assert never.catalog == before
    assert never.engine.announced == 1
    never.look(0)
    assert never.engine.announced == 1


def test_note_in_the_runtime_directory_has_it_look_at_once(tmp_path, world):
    never = World(tmp_path, world.write)
    never.config = replace(never.config, poll_s=0)
    never.start()
    world.write("2")
    never.look()
    never.look()
    assert never.catalog.default == "tiny/1"
    never.engine_dir.rescan.touch()
    never.look(0)
    assert never.catalog.default == "tiny/2"
    assert not never.engine_dir.rescan.exists()


def test_nothing_new_is_no_news(world):
    world.start()
    world.look()
    written = world.engine_dir.catalog.stat().st_mtime_ns
    world.look()
    world.look()
    assert world.engine.announced == 0
    assert world.engine_dir.catalog.stat().st_mtime_ns == written


def test_old_version_stays_until_every_engine_has_the_new_one(tmp_path, write_bundle, monkeypatch):
    monkeypatch.setattr("server.engine.models.PAUSE_S", 0)
    write_bundle("1")
    world = World(tmp_path, write_bundle, engines=2)
    other = world.config.engine_dirs[1]
    other.folder.mkdir()
    world.start()
    shutil.copy(world.engine_dir.catalog, other.catalog)
    write_bundle("2")
    world.look()
    world.look()
    assert world.catalog.default == "tiny/2"
    assert world.ready == ["tiny/1", "tiny/2"]
    world.look(after_s=100)
    assert world.ready == ["tiny/1", "tiny/2"], "the other engine still answers with version 1"
    shutil.copy(world.engine_dir.catalog, other.catalog)
    world.look(after_s=1)
    assert world.ready == ["tiny/2"]
    assert world.catalog.newest == {"tiny": "2"}


def test_two_engines_that_hold_a_version_for_each_other_let_go_of_it(
    tmp_path, write_bundle, monkeypatch
):
    monkeypatch.setattr("server.engine.models.PAUSE_S", 0)
    write_bundle("1")
    write_bundle("7", name="boats")
    newer = write_bundle("8", name="boats")
    world = World(tmp_path, write_bundle, engines=2, serve="boats/7, boats")
    other = world.config.engine_dirs[1]
    other.folder.mkdir()
    world.start()
    assert world.catalog.newest["boats"] == "8"
    shutil.copy(world.engine_dir.catalog, other.catalog)
    world.config = replace(world.config, serve="boats/7")
    shutil.rmtree(newer)
    world.lifecycle._wanted._config = world.config
    world.look()
    assert world.catalog.newest["boats"] == "7"
    assert "boats/8" in world.ready
    shutil.copy(world.engine_dir.catalog, other.catalog)  # it holds version 8 too, for this one
    world.look()
    assert world.ready == ["boats/7", "tiny/1"]


def test_bundle_is_finished_once_and_served_whatever_comes_of_it(world, caplog):
    finished = []

    def fail():
        finished.append(1)
        raise RuntimeError("can't start new thread")

    world.finish = fail
    world.start()
    assert world.lifecycle._bundles.finish_next()
    assert not world.lifecycle._bundles.finish_next()
    assert finished == [1]
    assert "tiny/1 is served by one session: can't start new thread" in caplog.text
    assert world.ready == ["tiny/1"]


def test_new_version_that_cannot_be_finished_is_refused_beside_the_one_that_serves(world):
    world.start()

    def fail():
        raise SessionError("no memory for a second session")

    world.finish = fail
    world.write("2")
    world.look()
    world.look()
    assert world.ready == ["tiny/1"]
    assert world.reason("tiny/2") == "no memory for a second session"
    assert world.notes.refusals["tiny/2"]


def test_new_version_is_finished_before_it_answers(world):
    world.start()
    served_meanwhile = []
    world.finish = lambda: served_meanwhile.append(world.ready)
    world.write("2")
    world.look()
    world.look()
    assert served_meanwhile == [["tiny/1"]]
    assert world.ready == ["tiny/2"]
    assert not world.lifecycle._bundles.finish_next()


def test_bundle_that_engines_die_of_while_they_finish_it_is_served_by_one_session(world, caplog):
    def start_and_finish():
        world.finish = lambda: os._exit(9)
        world.start()
        world.lifecycle._bundles.finish_next()

    for _ in range(DEATHS):
        world.dies(start_and_finish)
    world.finish = lambda: pytest.fail("it was tried again")
    world.start()
    assert world.lifecycle._bundles.finish_next()
    assert world.ready == ["tiny/1"]
    assert "tiny/1 is served by one session: 2 engines crashed" in caplog.text


@pytest.mark.parametrize("how", BROKEN)
def test_bundle_that_is_broken_anyhow_stops_neither_a_server_nor_its_start(world, how):
    world.start()
    BROKEN[how](world.write("2"))
    world.look()
    world.look()
    assert world.ready == ["tiny/1"]
    assert world.notes.refusals["tiny/2"]
    world.write("3")
    world.look()
    world.look()
    assert world.ready == ["tiny/3"]
    shutil.rmtree(world.models / "tiny" / "3")
    again = World(world.folder, world.write)
    again.engine_dir.catalog.unlink()
    again.start()
    assert (again.catalog.default, again.ready) == ("tiny/1", ["tiny/1"])


KILLS = {
    "the kernel, for memory": {"of": -signal.SIGKILL},
    "the server, for silence": {"of": -signal.SIGKILL, "aborted": True},
}


@pytest.mark.parametrize("kill", KILLS)
def test_version_is_not_given_up_at_the_first_start_as_engines_were_killed_beside_it(
    world, caplog, kill
):
    world.write("2")
    world.announce("tiny/2")
    world.killed.add("2")
    for number in range(1, DEATHS + 3):
        world.dies(**KILLS[kill])
        assert world.loads == []
        if number > 1:
            assert f"before: {number - 1} " in world.reason("tiny/2"), (
                "nothing says what is waited for"
            )
    world.start()  # this process is not killed
    assert world.loads == ["tiny/2"]
    assert (world.catalog.default, world.reason("tiny/2")) == ("tiny/2", "")
    assert f"engines that loaded it before: {DEATHS + 2} " in caplog.text
    assert not world.engine_dir.all_loads


def test_engine_that_nobody_saw_die_is_not_held_against_a_version(world):
    world.write("2")
    note = world.engine_dir.loads(load_bundle(world.models / "tiny" / "2").key)
    note.parent.mkdir()
    note.write_text("17 unknown\n" * 9)
    world.start()
    assert world.catalog.default == "tiny/2"


def test_version_that_engines_are_killed_beside_stops_no_server_that_has_another(world, caplog):
    world.start()
    world.write("2")
    world.killed.add("2")
    for _ in range(DEATHS):
        world.dies(of=-signal.SIGKILL)
    world.loads.clear()
    world.start()
    assert (world.catalog.default, world.ready) == ("tiny/1", ["tiny/1"])
    assert world.loads == ["tiny/1"]
    assert "2 killed (signal 9" in world.reason("tiny/2")
    assert world.ask("load", "tiny", "2") == ""
    assert world.ready == ["tiny/2"]


def test_crash_after_a_crash_is_held_against_a_version_whatever_else_happened(world):
    world.write("2")
    world.deadly.add("2")
    world.dies()
    world.killed.add("2")
    world.deadly.clear()
    world.dies(of=-signal.SIGKILL)
    world.deadly.add("2")
    world.dies()
    world.start()
    assert world.ready == ["tiny/1"]


@pytest.fixture
def unreadable(monkeypatch):
    """Return a set of the bundles whose volume reports errors."""
    bundles, load = set(), repository.load

    def fail(models, ref):
        if ref in bundles:
            raise BundleUnreadable(f"{models / ref} cannot be read: Input/output error")
        return load(models, ref)

    monkeypatch.setattr(repository, "load", fail)
    return bundles


def test_first_start_waits_for_a_version_that_cannot_be_read_now(world, unreadable):
    world.write("2")
    world.announce("tiny/2")
    unreadable.add("tiny/2")
    with pytest.raises(SessionError, match=r"^tiny/latest cannot .*tiny/2: .*Input/output error$"):
        world.start()
    assert world.loads == []
    assert "Input/output error" in world.reason("tiny/2")
    unreadable.clear()
    world.start()
    assert (world.ready, world.reason("tiny/2")) == (["tiny/2"], "")


def test_running_server_tries_a_version_again_that_could_not_be_read(world, unreadable, caplog):
    world.start()
    world.write("2")
    unreadable.add("tiny/2")
    for _ in range(4):
        world.look()
    assert world.ready == ["tiny/1"]
    assert caplog.text.count("tiny/2 is refused") == 1
    unreadable.clear()
    world.look()
    assert world.ready == ["tiny/2"]


def test_next_engine_of_a_running_server_serves_what_served_while_another_cannot_be_read(
    world, unreadable
):
    world.start()
    world.write("2")
    unreadable.add("tiny/2")
    world.loads.clear()
    world.start()
    assert world.ready == ["tiny/1"]


def test_other_models_wait_for_their_newest_version_at_a_start_too(tmp_path, world, unreadable):
    world.write("4", name="other")
    world.write("5", name="other")
    unreadable.add("other/5")
    several = World(tmp_path, world.write, serve="other").start()
    assert several.ready == ["tiny/1"]
    unreadable.clear()
    several.look()
    assert several.ready == ["other/5", "tiny/1"]


def test_repository_that_cannot_be_read_changes_nothing_and_blocks_nobody(
    world, monkeypatch, caplog
):
    world.start()
    world.write("2")
    scan = repository.scan

    def hang(models):
        raise BundleUnreadable(f"{models} cannot be read: there is no answer after 31 s")

    monkeypatch.setattr(repository, "scan", hang)
    world.engine_dir.rescan.touch()
    for _ in range(3):
        world.look()
    assert world.ready == ["tiny/1"]
    assert caplog.text.count("what is served stays as it is") == 1
    assert "no answer after 31 s" in world.ask("load", "tiny", "2")
    monkeypatch.setattr(repository, "scan", scan)
    world.look(0)  # SIGHUP was not forgotten
    assert world.ready == ["tiny/2"]


def test_start_without_an_answer_of_the_volume_says_so(world, monkeypatch):
    world.announce("tiny/1")

    def hang(models):
        raise BundleUnreadable(f"{models} cannot be read: there is no answer after 31 s")

    monkeypatch.setattr(repository, "scan", hang)
    with pytest.raises(BundleError, match="no answer"):
        world.start()
    assert "no answer after 31 s" in world.reason("tiny/1")


def test_catalog_whose_folder_was_removed_is_written_anew(world):
    world.start()
    shutil.rmtree(world.engine_dir.folder)
    world.look(after_s=0)
    assert world.ready == ["tiny/1"]


@needs_mount
def test_full_disk_keeps_the_old_version_answering_until_the_new_one_can_be_announced(
    world, tmp_path, caplog
):
    with small_disk(tmp_path / "run" / "engine-0", kib=64) as disk:
        world.start()
        (old,) = world.engine.keys
        filler = fill(disk)
        world.write("2")
        announced = world.engine.announced
        for _ in range(5):
            world.look()
        assert (world.catalog.default, world.engine.announced) == ("tiny/1", announced)
        assert old in world.engine.keys
        assert len(world.engine.keys) == 2
        assert caplog.text.count("No space left") == 1
        filler.unlink()
        world.look(after_s=0)
        assert (world.catalog.default, world.engine.announced) == ("tiny/2", announced + 1)
        assert world.engine.keys == [world.catalog.find().key]


@needs_mount
def test_engine_that_finds_a_full_disk_starts_and_announces_itself_later(world, tmp_path):
    with small_disk(tmp_path / "run" / "engine-0", kib=64) as disk:
        filler = fill(disk)
        world.start()
        assert len(world.engine.keys) == 1
        filler.unlink()
        world.look(after_s=0)
        assert world.ready == ["tiny/1"]


def floats_of(world, ref):
    """Return the key of the float images of a bundle of the repository."""
    return floats_key(load_bundle(world.models / ref).key)


def test_graph_of_float_images_is_opened_when_it_is_asked_for_and_once(world):
    world.with_floats = {"1"}
    world.start()
    assert (world.opens, world.float_plans, len(world.engine.keys)) == ([], {}, 1)
    assert world.ask("floats", "tiny", "1") == ""
    assert world.float_plans == {"tiny/1": "openvino/f32"}
    assert floats_of(world, "tiny/1") in world.engine.keys
    assert world.engine.announced == 1
    assert world.ask("floats", "tiny", "1") == ""
    assert world.opens == world.notes.draws_floats[:1] == ["1"]
    assert world.engine.announced == 1


def test_bundle_without_the_graph_says_so_in_the_catalog(world):
    world.start()
    assert world.catalog.find().no_floats == "the bundle has no graph of them"
    assert world.ask("floats", "tiny", "1") == "the bundle has no graph of them"


def test_graph_that_cannot_be_opened_is_told_and_not_tried_again(world, caplog):
    world.with_floats = {"1"}
    world.start()
    world.float_error = SessionError("its golden images are off by 9 grey levels")
    for _ in range(2):
        assert "off by 9" in world.ask("floats", "tiny", "1")
    assert world.opens == ["1"]
    assert "off by 9" in world.catalog.find().no_floats
    assert (world.ready, len(world.engine.keys)) == (["tiny/1"], 1)
    assert "float images of tiny/1 cannot be had" in caplog.text
    world.float_error = None
    assert world.ask("load", "tiny", "1") == ""
    assert world.catalog.find().no_floats == ""
    assert world.ask("floats", "tiny", "1") == ""
    assert world.float_plans == {"tiny/1": "openvino/f32"}


def test_graph_that_cannot_be_read_now_is_tried_again(world):
    world.with_floats = {"1"}
    world.start()
    world.float_error = BundleUnreadable("the volume hangs")
    assert world.ask("floats", "tiny", "1") == "the volume hangs"
    assert world.catalog.find().no_floats == ""
    world.float_error = None
    assert world.ask("floats", "tiny", "1") == ""


def test_float_images_of_a_bundle_that_is_not_loaded_are_nobodys_error(world):
    world.start()
    assert world.ask("floats", "tiny", "7") == ""  # the caller looks which version serves


def test_new_version_draws_float_images_from_its_start_and_the_old_ones_go(world):
    world.with_floats = {"1", "2"}
    world.start()
    world.ask("floats", "tiny", "1")
    old = set(world.engine.keys)
    world.write("2")
    world.look()
    world.look()
    assert world.ready == ["tiny/2"]
    assert world.float_plans == {"tiny/2": "openvino/f32"}
    world.engine.busy = {floats_of(world, "tiny/1")}
    world.look(RETIRE_S)
    world.engine.busy = set()
    world.look(RETIRE_S)
    assert not old & set(world.engine.keys)
    assert floats_of(world, "tiny/2") in world.engine.keys


def test_new_version_whose_float_images_fail_is_served_without(world):
    world.with_floats = {"1", "2"}
    world.start()
    world.ask("floats", "tiny", "1")
    world.float_error = RuntimeError("no memory")
    world.write("2")
    world.look()
    world.look()
    assert world.ready == ["tiny/2"]
    assert world.catalog.find().no_floats == "RuntimeError: no memory"


def test_unloaded_model_takes_its_float_images_along(world):
    world.start()
    world.with_floats = {"4"}
    world.write("4", name="other")
    world.ask("load", "other")
    world.ask("floats", "other", "4")
    assert len(world.engine.keys) == 3
    world.ask("unload", "other")
    world.look(RETIRE_S)
    assert len(world.engine.keys) == 1
    assert world.float_plans == {}


def test_version_that_is_taken_back_has_its_float_images_still(world):
    world.with_floats = {"1", "2"}
    world.start()
    world.ask("floats", "tiny", "1")
    newer = world.write("2")
    world.look()
    world.look()
    shutil.rmtree(newer)
    world.look()
    assert world.float_plans == {"tiny/1": "openvino/f32"}
    assert world.opens == ["1", "2"]


def test_next_engine_draws_float_images_before_it_serves(tmp_path, world):
    world.with_floats = {"1"}
    world.start()
    world.ask("floats", "tiny", "1")
    after = World(tmp_path, world.write)
    after.with_floats = {"1"}
    after.start()
    assert (after.opens, len(after.engine.keys)) == (["1"], 2)
    assert after.float_plans == {"tiny/1": "openvino/f32"}


@pytest.mark.parametrize(("setting", "opened"), [("yes", ["1"]), ("no", [])])
def test_setting_opens_the_graph_at_the_start_or_never(tmp_path, write_bundle, setting, opened):
    write_bundle("1")
    world = World(tmp_path, write_bundle, float_images=setting)
    world.with_floats = {"1"}
    world.start()
    assert world.opens == opened
    error = world.ask("floats", "tiny", "1")
    assert world.opens == opened
    assert error == ("" if opened else "CARFRONT_FLOAT_IMAGES is no")


def test_graph_that_engines_crash_of_is_opened_no_more_and_the_bundle_serves(world):
    world.with_floats = world.deadly_floats = {"1"}
    world.start()

    def start_and_open():
        world.start()
        world.ask("floats", "tiny", "1")

    for _ in range(DEATHS):
        world.dies(start_and_open)
    world.start()
    assert world.ready == ["tiny/1"]
    assert "2 engines crashed" in world.ask("floats", "tiny", "1")
    assert world.opens == []
