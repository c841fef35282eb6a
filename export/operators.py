"""What a converted graph may not hold, each refused in one sentence that names the layer."""

import re

import onnx
from onnx import TensorProto

from export.errors import PLAIN, ConversionFailed

CALLS = re.compile(r"(Stateful)?PartitionedCall(_\d+)?")
"""The parts of a node's name that tf2onnx takes from TensorFlow's calls of functions."""
HALF = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}
RANDOM = re.compile(
    "Random|TruncatedNormal|Multinomial|Bernoulli|StatefulStandardNormal|StatefulUniform|Rng"
)
"""The operators of TensorFlow and of ONNX that draw by chance, by a part of their names."""
FAULT = re.compile(r"\(op_type: ?(\w+)(?:, node name: ([^)]*))?\)[:,]?([^(]*)")
"""The operator, the node and the fault in a message of ONNX's shape inference."""
UNSUPPORTED = re.compile(r"Tensorflow op \[(\S+): (\w+)\] is not supported")
AT_NODE = re.compile(r"^(.+)\n\s*\[\[\{\{node (\S+)\}\}\]\]", re.MULTILINE)
"""What TensorFlow says of a fault while it draws, and the node at which there was one."""
ERROR = re.compile(r"[\w.]*(Error|Exception)\b.*: *\S")
"""The last line of a traceback: the kind of an error, and what it says."""
IN_FLOAT32 = (
    "set the dtype policy of its layers to float32 (its weights stay) and save it in float32"
)


def check_operators(model: onnx.ModelProto, opset: int) -> None:
    """Check that ONNX has every operator of ``model``, and that each gives the same at every call.

    Raises:
        ConversionFailed: it has not, or the graph draws by chance.
    """
    random = [node for node in model.graph.node if RANDOM.search(node.op_type)]
    if random:
        raise ConversionFailed(
            f"the generator draws noise of its own ({_told(random)}), so that its images are no "
            "function of the latents; take the noise out, or make it weights or a part of the "
            "latents"
        )
    missing = [
        node for node in model.graph.node if node.domain or not onnx.defs.has(node.op_type, opset)
    ]
    compiled = [node for node in missing if CALLS.fullmatch(node.op_type)]
    if compiled:
        raise ConversionFailed(
            f"tf2onnx does not look into what TensorFlow compiles by itself, {_told(compiled)}, as "
            "it does a Conv2D with groups: use one without, or set jit_compile to False"
        )
    if missing:
        raise ConversionFailed(f"tf2onnx has no ONNX form for {_told(missing)}; {PLAIN}")


def check_precision(model: onnx.ModelProto) -> None:
    """Check that ``model`` computes in float32, where it computes with fractions.

    Raises:
        ConversionFailed: some of it computes in 16 bits, of which the two sides of the parity check
            would round each sum in another way, or its ends are float64.
    """
    halves = {x.name for x in model.graph.initializer if x.data_type in HALF}
    for node in model.graph.node:
        casts = any(x.name == "to" and x.i in HALF for x in node.attribute)
        if casts or halves.intersection(node.input):
            raise ConversionFailed(
                f"the generator computes in float16 or bfloat16 (first in {layer_of(node.name)}), "
                f"which no other runtime rounds alike; {IN_FLOAT32}"
            )
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.tensor_type.elem_type
        if kind in HALF or kind == TensorProto.DOUBLE:
            name = HALF.get(kind, "float64")
            raise ConversionFailed(f"the generator's {value.name} is {name}; {IN_FLOAT32}")


def layer_of(name: str) -> str:
    """Return the layer in a node's name from tf2onnx: without TensorFlow's calls, model and op."""
    path = name.split("/")[:-1] or [name]
    parts = [part for part in path if not CALLS.fullmatch(part)]
    return "/".join(parts[1:] or parts)


def _told(nodes: list[onnx.NodeProto]) -> str:
    return ", ".join(sorted({f"{node.op_type} in {layer_of(node.name)}" for node in nodes}))


def what_of(error: Exception) -> str:
    """Return an error of ONNX's checker or shape inference in one line, with the layer."""
    text = " ".join(str(error).split())
    found = FAULT.search(text)
    if not found:
        return text.partition("==> ")[0].strip()
    kind, name, fault = found.groups()
    return f"{kind} in {layer_of(name or kind)}: {fault.strip(' .,')}"


def what_failed(output: str) -> str:
    """Return what a program's ``output`` says at its end, or what tf2onnx cannot convert."""
    if unsupported := UNSUPPORTED.findall(output):
        return ", ".join(sorted({f"{kind} in {layer_of(name)}" for name, kind in unsupported}))
    if found := AT_NODE.search(output):
        fault, name = found.groups()
        return f"{layer_of(name)}: {fault.strip()}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    named = [line for line in lines if ERROR.match(line)]
    return (named or lines or ["it said nothing"])[-1]
