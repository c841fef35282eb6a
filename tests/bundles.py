"""Other versions of the default bundle, for tests of a repository that changes."""

import json
import shutil
from pathlib import Path

import numpy as np

from server.bundle.files import file_facts
from server.bundle.latents import latents
from server.bundle.manifest import MANIFEST
from server.runtime.plans import Plan
from server.runtime.session import Session

ROOT = Path(__file__).parents[1]
DEFAULT = ROOT / "models" / "cars-dcgan" / "1"


def copy_version(models, version, brighter=False, source=DEFAULT):
    """Put ``source`` into the repository ``models`` as another version, and return its directory.

    With ``brighter``, its last bias is larger: it draws other images, and knows so.
    """
    folder = models / source.parent.name / version
    draft = models / f".{version}.draft"  # no reader looks there
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(source, draft)
    facts = json.loads((draft / MANIFEST).read_text())
    facts["version"] = version
    if brighter:
        _brighten(draft, facts)
    facts["files"] = {
        name: vars(file_facts(draft / name)) for name in facts["files"] if (draft / name).exists()
    }
    (draft / MANIFEST).write_text(json.dumps(facts))
    folder.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(draft, folder))


def _brighten(folder: Path, facts) -> None:
    import onnx
    from onnx import numpy_helper

    graph = folder / "generator.onnx"
    model = onnx.load(str(graph))
    node = next(x for x in model.graph.node if x.op_type == "Add" and "head" in x.name)
    (one,) = [x for x in model.graph.initializer if x.name == node.input[1]]
    one.CopyFrom(numpy_helper.from_array(np.array(1.2, np.float32), one.name))
    graph.write_bytes(model.SerializeToString())
    golden = facts["golden"]
    session = Session(graph, Plan("cpu", "f32"), threads=1)
    np.save(folder / golden["file"], session.run(latents(golden["seeds"], 100)))
