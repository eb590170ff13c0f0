"""The sentence encoder all-MiniLM-L6-v2 as an ONNX graph, built from its published weights. Pure: arrays in, model out.

Six BERT layers, mean pooling over the tokens that are not padding, and L2 normalisation are all inside the graph,
so that whoever runs it only tokenises. Only the export needs this module and the ``onnx`` package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Weights = Mapping[str, npt.NDArray[np.float32]]

OPSET = 20  # the first with a native Gelu
IR_VERSION = 10
MASKED = -10000.0  # added to the attention score of padding; far below any real score, still finite


@dataclass(frozen=True, slots=True)
class Architecture:
    """The sizes of a BERT encoder, named as in its ``config.json``."""

    hidden_size: int
    num_attention_heads: int
    num_hidden_layers: int
    layer_norm_eps: float

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_attention_heads


class _Graph:
    """Collects nodes and constants; every method returns the name of the value it adds."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: npt.NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output


def build(weights: Weights, architecture: Architecture) -> onnx.ModelProto:
    """Return the model.

    It maps ``input_ids`` and ``attention_mask`` (int64, batch × length) to ``embedding`` (float32, batch × hidden).

    Raises :class:`KeyError` when a weight is missing, and onnx's ``ValidationError`` when the graph does not check.
    """
    g = _Graph()
    for name, axes in (("axis1", [1]), ("axis2", [2]), ("axes12", [1, 2])):
        g.constant(name, np.array(axes, np.int64))
    hidden, mask = _embeddings(g, weights, architecture), _mask(g)
    for layer in range(architecture.num_hidden_layers):
        hidden = _layer(g, weights, architecture, layer, hidden, mask)
    _pool(g, hidden)
    graph = helper.make_graph(
        g.nodes,
        "all-MiniLM-L6-v2",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", architecture.hidden_size])],
        g.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model


def _embeddings(g: _Graph, weights: Weights, architecture: Architecture) -> str:
    """Word and position embeddings. All tokens are of segment 0, so its row is folded into the positions."""
    words = g.constant("words", weights["embeddings.word_embeddings.weight"])
    positions = g.constant(
        "positions",
        weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0],
    )
    zero = g.constant("zero", np.array([0], np.int64))
    length = g.node("Shape", ["input_ids"], "length", start=1, end=2)
    looked_up = g.node("Gather", [words, "input_ids"], "looked_up")
    placed = g.node("Slice", [positions, zero, length, zero], "placed")
    total = g.node("Add", [looked_up, placed], "embedded")
    return _normalise(g, weights, architecture, "embeddings.LayerNorm", total)


def _mask(g: _Graph) -> str:
    """0 for a token, :data:`MASKED` for padding, shaped to be added to batch × head × query × key scores."""
    one, masked = g.constant("one", np.array(1, np.float32)), g.constant("masked", np.array(MASKED, np.float32))
    kept = g.node("Cast", ["attention_mask"], "kept", to=TensorProto.FLOAT)
    padding = g.node("Sub", [one, kept], "padding")
    return g.node("Unsqueeze", [g.node("Mul", [padding, masked], "penalty"), "axes12"], "mask")


def _layer(g: _Graph, weights: Weights, architecture: Architecture, layer: int, hidden: str, mask: str) -> str:
    prefix = f"encoder.layer.{layer}."
    attended = _attention(g, weights, architecture, prefix, hidden, mask)
    projected = _linear(g, weights, prefix + "attention.output.dense", attended)
    residual = g.node("Add", [projected, hidden], prefix + "attention.residual")
    hidden = _normalise(g, weights, architecture, prefix + "attention.output.LayerNorm", residual)
    wide = g.node("Gelu", [_linear(g, weights, prefix + "intermediate.dense", hidden)], prefix + "gelu")
    residual = g.node("Add", [_linear(g, weights, prefix + "output.dense", wide), hidden], prefix + "residual")
    return _normalise(g, weights, architecture, prefix + "output.LayerNorm", residual)


def _attention(g: _Graph, weights: Weights, architecture: Architecture, prefix: str, hidden: str, mask: str) -> str:
    split = g.constant(
        prefix + "split", np.array([0, 0, architecture.num_attention_heads, architecture.head_size], np.int64)
    )
    merged = g.constant(prefix + "merged", np.array([0, 0, architecture.hidden_size], np.int64))
    scale = g.constant(prefix + "scale", np.array(architecture.head_size**-0.5, np.float32))
    heads = {}
    for name, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
        linear = _linear(g, weights, prefix + f"attention.self.{name}", hidden)
        reshaped = g.node("Reshape", [linear, split], linear + ".heads")
        heads[name] = g.node("Transpose", [reshaped], linear + ".transposed", perm=order)
    scores = g.node("MatMul", [heads["query"], heads["key"]], prefix + "scores")
    scaled = g.node("Mul", [scores, scale], prefix + "scaled")
    probabilities = g.node(
        "Softmax", [g.node("Add", [scaled, mask], prefix + "masked")], prefix + "probabilities", axis=-1
    )
    context = g.node("MatMul", [probabilities, heads["value"]], prefix + "context")
    ordered = g.node("Transpose", [context], prefix + "context.ordered", perm=[0, 2, 1, 3])
    return g.node("Reshape", [ordered, merged], prefix + "context.merged")


def _linear(g: _Graph, weights: Weights, name: str, value: str) -> str:
    matrix = g.constant(name + ".weight", weights[name + ".weight"].T)
    bias = g.constant(name + ".bias", weights[name + ".bias"])
    return g.node("Add", [g.node("MatMul", [value, matrix], name + ".product"), bias], name)


def _normalise(g: _Graph, weights: Weights, architecture: Architecture, name: str, value: str) -> str:
    weight = g.constant(name + ".weight", weights[name + ".weight"])
    bias = g.constant(name + ".bias", weights[name + ".bias"])
    return g.node("LayerNormalization", [value, weight, bias], name, axis=-1, epsilon=architecture.layer_norm_eps)


def _pool(g: _Graph, hidden: str) -> str:
    """Mean over the tokens that are not padding, then unit length: the model's own pooling."""
    weights = g.node("Unsqueeze", ["kept", "axis2"], "token_weights")
    total = g.node("ReduceSum", [g.node("Mul", [hidden, weights], "weighted"), "axis1"], "total", keepdims=0)
    count = g.node("ReduceSum", [weights, "axis1"], "count", keepdims=0)
    mean = g.node("Div", [total, count], "mean")
    length = g.node("ReduceL2", [mean, "axis1"], "norm", keepdims=1)
    return g.node("Div", [mean, length], "embedding")
