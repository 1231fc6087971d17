"""A generator in forms that need none of this project's code: ONNX, a torch.export program."""

import warnings
from pathlib import Path

import torch
from torch.export import ExportedProgram

from dcgan.mnist import NUM_CLASSES
from dcgan.networks import Generator

NOISE, DIGIT, IMAGE = "z", "digit", "image"
"""The names of inputs and output: float32 [batch, latent_dim], of a conditional generator also
float32 [batch, 10], and float32 [batch, 1, 28, 28]."""


def input_names(generator: Generator) -> list[str]:
    """What it is given, in order."""
    return [NOISE, DIGIT] if generator.conditional else [NOISE]


def program_of(generator: Generator) -> ExportedProgram:
    """The generator as a program for any batch size."""
    sizes = (generator.latent_dim, NUM_CLASSES)[: len(input_names(generator))]
    examples = tuple(torch.zeros(2, size) for size in sizes)  # of one row, the batch would stay one
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of things inside the exporter
        program = torch.export.export(generator, examples, dynamic_shapes=_any_batch(generator))
    # Line by line it names the source files, and so the folders, of the machine it is made on.
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def write_onnx(generator: Generator, program: ExportedProgram, path: Path) -> None:
    """Write `program_of` a generator as one file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            program,
            (),
            path,
            input_names=input_names(generator),
            output_names=[IMAGE],
            dynamic_shapes=_any_batch(generator),
            external_data=False,
            verbose=False,
        )


def _any_batch(generator: Generator) -> tuple[dict[int, object], ...]:
    batch = torch.export.Dim("batch", min=1)
    return tuple({0: batch} for _ in input_names(generator))
