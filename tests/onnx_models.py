"""Small models with the inputs and the output of exported generators."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LATENT_DIM = 5


def plain(seed: int = 0) -> bytes:
    """sigmoid(z W), as images."""
    nodes = [
        helper.make_node("MatMul", ["z", "weights"], ["sums"]),
        helper.make_node("Sigmoid", ["sums"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["image"]),
    ]
    return _model(nodes, {"weights": _weights(seed)}, [])


def conditional(seed: int = 0) -> bytes:
    """The same, between a tenth of the digit and the next: a pixel tells digit and noise."""
    constants = {
        "weights": _weights(seed),
        "levels": np.arange(0, 1, 0.1, dtype=np.float32).reshape(10, 1),
        "tenth": np.float32(0.1),
    }
    nodes = [
        helper.make_node("MatMul", ["z", "weights"], ["sums"]),
        helper.make_node("Sigmoid", ["sums"], ["shares"]),
        helper.make_node("Mul", ["shares", "tenth"], ["inside"]),
        helper.make_node("MatMul", ["digit", "levels"], ["level"]),
        helper.make_node("Add", ["inside", "level"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["image"]),
    ]
    digit = helper.make_tensor_value_info("digit", TensorProto.FLOAT, ["batch", 10])
    return _model(nodes, constants, [digit])


def _weights(seed: int) -> Any:
    return np.random.default_rng(seed).normal(0, 2, (LATENT_DIM, 784)).astype(np.float32)


def _model(nodes: list[Any], constants: Mapping[str, Any], more_inputs: list[Any]) -> bytes:
    constants = {**constants, "shape": np.array([-1, 1, 28, 28])}
    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", LATENT_DIM])
    graph = helper.make_graph(
        nodes,
        "generator",
        [z, *more_inputs],
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 28, 28])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 20)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opset, ir_version=10)
    return bytes(model.SerializeToString())
