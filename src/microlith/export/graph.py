"""The ONNX graph of a trained encoder, built node by node from its weights.

Building it beats tracing it: the graph is small, the same weights give the same bytes, every matrix can be given the
storage it needs, and the decisions' heads are folded into one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from microlith.inference.grounding import FEATURES
from microlith.inference.layout import GroupLayout
from microlith.inference.precision import to_grid
from microlith.training.encoder_net import NEGATIVE, PLACES, EncoderNet, GroupHeads
from microlith.training.rounding import RoundedLinear

OPSET, IR_VERSION, MICROSOFT = 20, 10, "com.microsoft"
Array = npt.NDArray[Any]


def build_graph(net: EncoderNet, *, integers: bool) -> onnx.ModelProto:
    """The whole network as one ONNX model.

    Args:
        net: A network around a BERT-shaped encoder.
        integers: Compute the encoder on 8-bit integers, as the network rounds; else on its float32 weights, unrounded.
    """
    graph = _Graph(integers=integers)
    states = _encoder(graph, net.encoder)
    outputs = [
        output
        for number, heads in enumerate(net.groups)
        if isinstance(heads, GroupHeads)
        for output in _Heads(graph, heads, states, number).outputs()
    ]
    shapes: dict[str, tuple[int, list[str | int]]] = {
        "input_ids": (TensorProto.INT64, ["batch", "tokens"]),
        "attention_mask": (TensorProto.INT64, ["batch", "tokens"]),
        "candidates": (TensorProto.INT64, ["batch", "candidates", 2]),
        "features": (TensorProto.FLOAT, ["batch", "candidates", len(FEATURES)]),
    }
    inputs = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in shapes.items()]
    body = helper.make_graph(graph.nodes, "microlith", inputs, outputs, graph.constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(body, opset_imports=opsets, ir_version=IR_VERSION, producer_name="microlith")


class _Graph:
    """Nodes and constants in the order in which they are made."""

    def __init__(self, *, integers: bool) -> None:
        self.integers = integers
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: Any, kind: Any = None) -> str:
        name = f"c{len(self.constants)}"
        array = np.ascontiguousarray(np.asarray(values, dtype=kind)).reshape(np.shape(values))
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        return self.many(kind, *inputs, count=1, **attributes)[0]

    def many(self, kind: str, *inputs: str, count: int, domain: str = "", **attributes: Any) -> list[str]:
        names = [f"{kind}_{len(self.nodes)}_{index}" for index in range(count)]
        node = helper.make_node(kind, list(inputs), names, domain=domain, name=names[0], **attributes)
        self.nodes.append(node)
        return names

    def split(self, value: str, sizes: Sequence[int]) -> list[str]:
        """Split along the last axis; sizes of 0 give no part."""
        if len(sizes) == 1:
            return [value]
        return self.many("Split", value, self.constant(sizes, np.int64), count=len(sizes), axis=-1)

    def rounded(self, value: str, layer: RoundedLinear) -> str:
        """`value` as `layer` reads it: in whole steps where the file computes on integers, else as it is."""
        if not self.integers:
            return value
        scale, point = self.constant(1.0, np.float32), self.constant(_array(layer.zero), np.uint8)
        steps = self.add("Mul", value, self.constant(_array(layer.gain)))
        return self.add("QuantizeLinear", steps, scale, point)

    def linear(self, value: str, layer: RoundedLinear) -> str:
        """The layer's product with what `rounded` gave."""
        bias = self.constant(_array(layer.bias))
        if not self.integers:
            return self.add("Add", self.add("MatMul", value, self.constant(_array(layer.weight).T)), bias)
        integers, scales = (_array(part) for part in layer.weight_grid())
        one, point = self.constant(1.0, np.float32), self.constant(_array(layer.zero), np.uint8)
        inputs = (value, self.constant(integers.T, np.int8), one, self.constant(scales), point, "", bias)
        return self.many("MatMulIntegerToFloat", *inputs, count=1, domain=MICROSOFT)[0]

    def norm(self, value: str, norm: Any) -> str:
        """Layer normalisation. The runtime's fused "skip" variant is several times slower than a sum and this."""
        scale, shift = self.constant(_array(norm.weight)), self.constant(_array(norm.bias))
        return self.add("LayerNormalization", value, scale, shift, epsilon=float(norm.eps))

    def output(self, name: str, value: str, shape: list[Any]) -> onnx.ValueInfoProto:
        self.nodes.append(helper.make_node("Identity", [value], [name], name=name))
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


# --------------------------------------------------------------------------------------------- encoder


def _encoder(graph: _Graph, encoder: Any) -> str:
    states = _embeddings(graph, encoder.embeddings)
    mask = graph.add("Cast", "attention_mask", to=TensorProto.INT32)
    for layer in encoder.encoder.layer:
        states = _layer(graph, states, mask, layer, encoder.config.num_attention_heads)
    return states


def _embeddings(graph: _Graph, embeddings: Any) -> str:
    table = _array(embeddings.word_embeddings.weight)
    if graph.integers:
        integers, scales = to_grid(table)
        rows = graph.add(
            "Cast", graph.add("Gather", graph.constant(integers), "input_ids"), to=TensorProto.FLOAT
        )
        words = graph.add("Mul", rows, graph.add("Gather", graph.constant(scales[:, None]), "input_ids"))
    else:
        words = graph.add("Gather", graph.constant(table), "input_ids")
    places = (
        _array(embeddings.position_embeddings.weight) + _array(embeddings.token_type_embeddings.weight)[0]
    )
    length = graph.add("Shape", "input_ids", start=1, end=2)
    places_here = graph.add("Slice", graph.constant(places), graph.constant([0], np.int64), length)
    return graph.norm(graph.add("Add", words, places_here), embeddings.LayerNorm)


def _layer(graph: _Graph, states: str, mask: str, layer: Any, heads: int) -> str:
    after, wide, narrow = layer.attention.output, layer.intermediate.dense, layer.output.dense
    attend = _attend_on_integers if graph.integers else _attend
    attended = attend(graph, states, mask, layer.attention, heads)
    states = graph.norm(graph.add("Add", graph.linear(attended, after.dense), states), after.LayerNorm)
    spread = graph.add("Gelu", graph.linear(graph.rounded(states, wide), wide))
    out = graph.linear(graph.rounded(spread, narrow), narrow)
    return graph.norm(graph.add("Add", out, states), layer.output.LayerNorm)


def _attend(graph: _Graph, states: str, mask: str, attention: Any, heads: int) -> str:
    own = attention.self
    query, key, value = (graph.linear(states, one) for one in (own.query, own.key, own.value))
    return graph.many(
        "MultiHeadAttention", query, key, value, "", mask, count=1, domain=MICROSOFT, num_heads=heads
    )[0]


def _attend_on_integers(graph: _Graph, states: str, mask: str, attention: Any, heads: int) -> str:
    """As `_attend`, in one node, and rounded as the next layer reads it: the values come multiplied by its gain."""
    layers, after = [attention.self.query, attention.self.key, attention.self.value], attention.output.dense
    gains = [np.float32(1.0), np.float32(1.0), _array(after.gain)]
    grids = [tuple(map(_array, layer.weight_grid())) for layer in layers]
    integers = np.concatenate([grid for grid, _ in grids])
    scales = np.concatenate([scale * gain for (_, scale), gain in zip(grids, gains, strict=True)])
    biases = np.concatenate([_array(layer.bias) * gain for layer, gain in zip(layers, gains, strict=True)])
    one = graph.constant(1.0, np.float32)
    inputs = (
        graph.rounded(states, layers[0]), graph.constant(integers.T, np.int8), graph.constant(biases), one,
        graph.constant(scales), mask, graph.constant(_array(layers[0].zero), np.uint8),
        graph.constant(np.zeros(len(scales)), np.int8),
    )  # fmt: skip
    attended = graph.many("QAttention", *inputs, count=1, domain=MICROSOFT, num_heads=heads)[0]
    return graph.add("QuantizeLinear", attended, one, graph.constant(_array(after.zero), np.uint8))


# ----------------------------------------------------------------------------------------------- heads


class _Heads:
    """The heads of one group (`training.encoder_net.GroupHeads`).

    Every head is linear in a step's view x + gelu(x D) U of the token states, so all heads of all steps are the two
    products x M and gelu(x D) (U M), where M stacks the queries, the choices and the borders. Pooling then takes
    place on the few columns of M instead of the full width.
    """

    def __init__(self, graph: _Graph, heads: GroupHeads, states: str, number: int) -> None:
        self.graph, self.heads, self.layout, self.states, self.number = (
            graph,
            heads,
            heads.layout,
            states,
            number,
        )
        self.values, self.biases, self.pools = _pooled_columns(heads)

    def outputs(self) -> list[onnx.ValueInfoProto]:
        graph, layout = self.graph, self.layout
        if not self.heads.pools and not layout.lists:
            return []  # an object that holds nothing but arrays of objects
        queries = _array(self.heads.query)[: self.heads.pools]
        slices = len(layout.spans) + len(layout.lists)
        matrix = np.concatenate(
            [queries, self.values, *([_array(self.heads.border.weight)] if slices else [])]
        )
        scores = self._views(matrix.T)
        sizes = [len(queries), len(self.values), len(PLACES) * slices]
        parts = graph.split(scores, [size for size in sizes if size])
        self.mask = graph.add(
            "Unsqueeze",
            graph.add("Cast", "attention_mask", to=TensorProto.FLOAT),
            graph.constant([1, 3], np.int64),
        )
        found = self._pooled(parts[0], parts[1]) if len(self.values) else []
        return found + (self._slices(parts[-1]) if slices else [])

    def _views(self, matrix: Array) -> str:
        """(batch, steps, tokens, columns) of `matrix` applied to every step's view."""
        graph, steps = self.graph, self.layout.steps
        if steps == 1:
            return graph.add(
                "Unsqueeze",
                graph.add("MatMul", self.states, graph.constant(matrix)),
                graph.constant([1], np.int64),
            )
        down, up = _array(self.heads.down), _array(self.heads.up)
        rank = down.shape[2]
        flat = down.transpose(1, 0, 2).reshape(-1, steps * rank)
        both = graph.add("MatMul", self.states, graph.constant(np.concatenate([matrix, flat], 1)))
        plain, hidden = graph.split(both, [matrix.shape[1], steps * rank])
        shaped = graph.add(
            "Reshape", graph.add("Gelu", hidden), graph.constant([0, 0, steps, rank], np.int64)
        )
        by_step = graph.add("Transpose", shaped, perm=[0, 2, 1, 3])
        own = graph.add("MatMul", by_step, graph.constant((up @ matrix).astype(np.float32)))
        return graph.add("Add", graph.add("Unsqueeze", plain, graph.constant([1], np.int64)), own)

    def _pooled(self, queries: str, values: str) -> list[onnx.ValueInfoProto]:
        graph, layout = self.graph, self.layout
        hidden = graph.add("Sub", graph.constant(1.0, np.float32), self.mask)
        masked = graph.add("Add", queries, graph.add("Mul", hidden, graph.constant(NEGATIVE, np.float32)))
        weights = graph.add(
            "Gather", graph.add("Softmax", masked, axis=2), graph.constant(self.pools, np.int64), axis=3
        )
        summed = graph.add(
            "ReduceSum", graph.add("Mul", weights, values), graph.constant([2], np.int64), keepdims=0
        )
        pooled = graph.add("Add", summed, graph.constant(self.biases))
        sizes = {
            "choice": layout.choice_width, "absent": len(layout.spans), "count": layout.counts if layout.counts > 1 else 0,
        }  # fmt: skip
        names = [name for name, size in sizes.items() if size]
        found = []
        for name, value in zip(names, graph.split(pooled, [sizes[name] for name in names]), strict=True):
            shape: list[Any] = ["batch", layout.steps, sizes[name]]
            if name == "count":
                value, shape = (
                    graph.add("Gather", value, graph.constant(0, np.int64), axis=1),
                    ["batch", sizes[name]],
                )
            found.append(graph.output(f"{self.number}.{name}", value, shape))
        return found

    def _slices(self, borders: str) -> list[onnx.ValueInfoProto]:
        graph, layout = self.graph, self.layout
        biased = graph.add("Add", borders, graph.constant(_array(self.heads.border.bias)))
        by_token = graph.add("Transpose", graph.add("Mul", biased, self.mask), perm=[0, 2, 1, 3])
        first, last, inside, before_it, after_it = graph.many(
            "Split", by_token, count=len(PLACES), axis=-1, num_outputs=len(PLACES)
        )
        first = graph.add("Add", first, self._moved(before_it, 1))
        last = graph.add("Add", last, self._moved(after_it, -1))
        sums = graph.add("CumSum", inside, graph.constant(1, np.int64))
        begin, end = graph.many("Split", "candidates", count=2, axis=-1, num_outputs=2)
        before = graph.add("Sub", inside, sums)
        at_begin = graph.add("GatherND", graph.add("Concat", before, first, axis=-1), begin, batch_dims=1)
        at_end = graph.add("GatherND", graph.add("Concat", sums, last, axis=-1), end, batch_dims=1)
        less, start = graph.many("Split", at_begin, count=2, axis=-1, num_outputs=2)
        more, stop = graph.many("Split", at_end, count=2, axis=-1, num_outputs=2)
        tokens = graph.add("Add", graph.add("Sub", end, begin), graph.constant([1], np.int64))
        length = graph.add(
            "Unsqueeze", graph.add("Cast", tokens, to=TensorProto.FLOAT), graph.constant([3], np.int64)
        )
        mean = graph.add("Div", graph.add("Add", less, more), length)
        seen = graph.add("MatMul", "features", graph.constant(_array(self.heads.see.weight).T))
        seen = graph.add("Gelu", graph.add("Add", seen, graph.constant(_array(self.heads.see.bias))))
        look = graph.add("MatMul", seen, graph.constant(_array(self.heads.look.weight).T))
        look = graph.add("Unsqueeze", look, graph.constant([2], np.int64))
        total = graph.add("Add", graph.add("Add", graph.add("Add", start, stop), mean), look)
        scores = graph.add("Transpose", total, perm=[0, 2, 1, 3])
        sizes = {"span": len(layout.spans), "list": len(layout.lists)}
        names = [name for name, size in sizes.items() if size]
        parts = graph.split(scores, [sizes[name] for name in names])
        return [
            graph.output(f"{self.number}.{name}", part, ["batch", layout.steps, "candidates", sizes[name]])
            for name, part in zip(names, parts, strict=True)
        ]

    def _moved(self, value: str, by: int) -> str:
        """`value` (batch, tokens, ...) one token later (1) or earlier (-1); the token at the end stands twice."""
        graph, axis, last = self.graph, self.graph.constant([1], np.int64), np.iinfo(np.int64).max
        kept, edge = ((0, -1), (0, 1)) if by == 1 else ((1, last), (-1, last))
        parts = [
            graph.add(
                "Slice", value, graph.constant([start], np.int64), graph.constant([stop], np.int64), axis
            )
            for start, stop in ((edge, kept) if by == 1 else (kept, edge))
        ]
        return graph.add("Concat", *parts, axis=1)


def _pooled_columns(heads: GroupHeads) -> tuple[Array, Array, list[int]]:
    """Weights and biases of every pooled output (choices, then absent, then count), and the pool each one reads."""
    layout: GroupLayout = heads.layout
    named = layout.choices + layout.labels
    pools = [row for row, head in enumerate(named) for _ in range(head.start, head.stop)]
    pools += [len(named) + row for row in range(len(layout.spans))]
    weights = [_array(heads.choice.weight)[: layout.choice_width], _array(heads.absent)[: len(layout.spans)]]
    biases = [
        _array(heads.choice.bias)[: layout.choice_width],
        _array(heads.absent_bias)[: len(layout.spans)],
    ]
    if layout.counts > 1:
        weights.append(_array(heads.count.weight))
        biases.append(_array(heads.count.bias))
        pools += [heads.pools - 1] * layout.counts
    return np.concatenate(weights), np.concatenate(biases), pools


def _array(parameter: Any) -> Array:
    array: Array = parameter.detach().cpu().numpy()
    return array
