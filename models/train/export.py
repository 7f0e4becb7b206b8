"""Builds the ONNX graphs of a bundle with 8-bit weights, from operators that tract runs well.

`encoder.onnx`: `logmel` [1, 400, 80] -> `embeddings` [1, 200, D]. A head: `stats` [1, 3 D] -> `outputs` [1, 1 or 2],
see `head.py`.
Weight matrices are stored as int8 with one scale per output and a DequantizeLinear, which the runtime folds at load.
"""

import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from encoder import CHUNK_FRAMES, REFERENCE_MAXIMUM

OPSET = 17


def quantised(weights, axis):
    """int8 values and float32 scales of `weights`, symmetric, one scale per index of `axis`."""
    others = tuple(number for number in range(weights.ndim) if number != axis)
    scales = np.maximum(np.abs(weights).max(axis=others), 1e-8) / 127
    shape = [-1 if number == axis else 1 for number in range(weights.ndim)]
    values = np.clip(np.round(weights / scales.reshape(shape)), -127, 127).astype(np.int8)
    return values, scales.astype(np.float32)


def rounded(weights, axis):
    """`weights` as they come back from their int8 form."""
    values, scales = quantised(weights, axis)
    shape = [-1 if number == axis else 1 for number in range(weights.ndim)]
    return values.astype(np.float32) * scales.reshape(shape)


class Graph:
    """Collects nodes and initialisers; every method returns the name of its output."""

    def __init__(self):
        self.nodes, self.initializers, self.counter = [], [], 0

    def constant(self, values):
        self.counter += 1
        name = f"c{self.counter}"
        self.initializers.append(numpy_helper.from_array(np.array(values, order="C"), name))
        return name

    def op(self, kind, *inputs, output=None, **attributes):
        self.counter += 1
        name = output or f"{kind.lower()}{self.counter}"
        inputs = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"n{self.counter}", **attributes))
        return name

    def weights(self, values, axis):
        integers, scales = quantised(values, axis)
        return self.op("DequantizeLinear", integers, scales, np.zeros(len(scales), np.int8), axis=axis)

    def gelu(self, x):
        scaled = self.op("Erf", self.op("Mul", x, np.float32(1 / math.sqrt(2))))
        return self.op("Mul", self.op("Mul", x, self.op("Add", scaled, np.float32(1))), np.float32(0.5))

    def linear(self, x, weight, bias):
        """weight as PyTorch keeps it, [outputs, inputs]."""
        return self.op("Add", self.op("MatMul", x, self.weights(weight.T, 1)), bias)

    def shaped(self, x, *shape):
        return self.op("Reshape", x, np.array(shape, np.int64))

    def model(self, name, inputs, outputs):
        def info(item):
            return helper.make_tensor_value_info(item[0], TensorProto.FLOAT, item[1])

        graph = helper.make_graph(self.nodes, name, [info(inputs)], [info(outputs)], self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="clonewatch")
        model.ir_version = 8
        onnx.checker.check_model(model, full_check=True)
        return model


def _normalised(graph):
    flat = graph.shaped("logmel", 1, CHUNK_FRAMES * 80)
    maximum = graph.op("ReduceMax", flat, axes=[1], keepdims=1)
    relative = graph.op("Max", graph.op("Sub", flat, maximum), np.float32(-8))
    scaled = graph.op("Mul", graph.op("Add", relative, np.float32(REFERENCE_MAXIMUM + 4)), np.float32(0.25))
    return graph.shaped(scaled, 1, CHUNK_FRAMES, 80)


def _norm(graph, x, weight, bias):
    return graph.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=1e-5)


def _attention(graph, x, state, heads, frames):
    width = state["attention_out.bias"].shape[0]
    fused = graph.linear(x, state["attention_in.weight"], state["attention_in.bias"])
    split = graph.op("Transpose", graph.shaped(fused, frames, 3, heads, width // heads), perm=[1, 2, 0, 3])
    query, key, value = (graph.op("Gather", split, np.int64(part), axis=0) for part in range(3))
    query = graph.op("Mul", query, np.float32(1 / math.sqrt(width // heads)))
    products = graph.op("MatMul", query, graph.op("Transpose", key, perm=[0, 2, 1]))
    mixed = graph.op("MatMul", graph.op("Softmax", products, axis=-1), value)
    merged = graph.shaped(graph.op("Transpose", mixed, perm=[1, 0, 2]), 1, frames, width)
    return graph.linear(merged, state["attention_out.weight"], state["attention_out.bias"])


def _layer(graph, x, state, heads, frames=CHUNK_FRAMES // 2):
    normed = _norm(graph, x, state["attention_norm.weight"], state["attention_norm.bias"])
    x = graph.op("Add", x, _attention(graph, normed, state, heads, frames))
    normed = _norm(graph, x, state["ffn_norm.weight"], state["ffn_norm.bias"])
    inner = graph.gelu(graph.linear(normed, state["ffn_in.weight"], state["ffn_in.bias"]))
    return graph.op("Add", x, graph.linear(inner, state["ffn_out.weight"], state["ffn_out.bias"]))


def _at_half_rate(graph, x, state, heads):
    """As `encoder.at_half_rate`."""
    half, width = CHUNK_FRAMES // 4, state["attention_out.bias"].shape[0]
    pairs = graph.op("ReduceMean", graph.shaped(x, 1, half, 2, width), axes=[2], keepdims=0)
    out = graph.shaped(_layer(graph, pairs, state, heads, half), 1, half, 1, width)
    return graph.shaped(graph.op("Concat", out, out, axis=2), 1, 2 * half, width)


def _part(state, prefix):
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}


def embedding_dims(encoder):
    """Width of what comes out of `encoder` for every 20 ms."""
    return encoder.statistics_width // 3 + (encoder.width if encoder.tuned is not None else 0)


def encoder_model(encoder):
    """The ONNX model of an `encoder.Encoder`: of its stem alone, or with layers, what `content.fit` found and a tuned layer."""
    graph = Graph()
    state = {name: value.detach().numpy() for name, value in encoder.state_dict().items()}
    heads = encoder.head_count
    x = graph.op("Transpose", _normalised(graph), perm=[0, 2, 1])
    for name, stride in (("conv1", 1), ("conv2", 2)):
        kernel = graph.weights(state[f"{name}.weight"], 0)
        x = graph.op("Conv", x, kernel, state[f"{name}.bias"], kernel_shape=[3], pads=[1, 1], strides=[stride])
        x = graph.gelu(x)
    dimension = embedding_dims(encoder)
    ends = ("logmel", [1, CHUNK_FRAMES, 80]), ("embeddings", [1, CHUNK_FRAMES // 2, dimension])
    if not encoder.layers:
        graph.op("Transpose", x, perm=[0, 2, 1], output="embeddings")
        return graph.model("encoder", *ends)
    x = graph.op("Transpose", x, perm=[0, 2, 1])
    outputs = [x]
    x = graph.op("Add", x, graph.op("Cast", state["positions"].astype(np.float16)[None], to=TensorProto.FLOAT))
    for index in range(len(encoder.layers)):
        x = _layer(graph, x, _part(state, f"layers.{index}."), heads)
        outputs.append(x)
    layers = outputs[1] if len(outputs) == 2 else graph.op("Concat", *outputs[1:], axis=2)
    shares = graph.op("Softmax", graph.linear(layers, state["content.weight"], state["content.bias"]), axis=-1)
    common = graph.op("MatMul", shares, graph.weights(state["content_means"], 1))
    everything = graph.op("Concat", outputs[0], layers, axis=2)
    tuned = _at_half_rate(graph, x, _part(state, "tuned."), heads)
    graph.op("Concat", graph.op("Sub", everything, common), tuned, axis=2, output="embeddings")
    return graph.model("encoder", *ends)


def _columns(graph, dims, start, end):
    """`stats` [1, 3 dims] of embeddings from `start` to `end`."""
    axis = np.array([2], np.int64)
    part = graph.op("Slice", graph.shaped("stats", 1, 3, dims), np.array([start], np.int64), np.array([end], np.int64), axis)
    return graph.shaped(part, 1, 3 * (end - start))


def _kernel_head(graph, stats, projection, head):
    centred = graph.op("Mul", graph.op("Sub", stats, projection.mean[None]), 1 / projection.deviation[None])
    point = graph.op("MatMul", centred, graph.weights(projection.axes, 1))
    landmarks = head.landmarks.numpy()
    products = graph.op("MatMul", point, graph.weights(np.ascontiguousarray(landmarks.T), 1))
    own = graph.op("ReduceSum", graph.op("Mul", point, point), np.array([1], np.int64), keepdims=1)
    cross = graph.op("Add", graph.op("Mul", products, np.float32(-2)), own)
    distances = graph.op("Add", cross, np.square(landmarks).sum(1)[None].astype(np.float32))
    kernels = [graph.op("Exp", graph.op("Mul", distances, np.float32(-gamma))) for gamma in head.gammas]
    weights = head.weights.numpy() / np.float32(len(kernels))
    return graph.op("MatMul", kernels[0] if len(kernels) == 1 else graph.op("Sum", *kernels), weights)


def head_model(projection, head):
    """The ONNX model of a `kernel.KernelHead` behind its `kernel.Projection`."""
    graph = Graph()
    graph.op("Add", _kernel_head(graph, "stats", projection, head), head.bias.numpy()[None], output="outputs")
    return graph.model("head", ("stats", [1, len(projection.mean)]), ("outputs", [1, len(head.bias)]))


def mixed_head_model(projection, head, tuned, share):
    """The same and a `tuning.Tuned` that counts `share`, over statistics of embeddings with the tuned layer's behind."""
    graph = Graph()
    own = len(projection.mean) // 3
    dims = own + len(tuned.mean) // 3
    kernels = _kernel_head(graph, _columns(graph, dims, 0, own), projection, head)
    state = {name: value.numpy() for name, value in tuned.state_dict().items()}
    hidden = graph.linear(_columns(graph, dims, own, dims), state["hidden.weight"], state["hidden.bias"])
    learned = graph.op("MatMul", graph.gelu(hidden), np.float32(share) * state["out.weight"].T)
    bias = (1 - share) * head.bias.numpy() + share * state["out.bias"]
    total = graph.op("Add", graph.op("Mul", kernels, np.float32(1 - share)), learned)
    graph.op("Add", total, bias[None].astype(np.float32), output="outputs")
    return graph.model("head", ("stats", [1, 3 * dims]), ("outputs", [1, 1]))
