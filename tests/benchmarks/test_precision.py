"""The arithmetic of the comparison between precisions."""

import math

from benchmarks.precision import Curve, compare


def test_two_precisions_are_as_far_apart_as_their_means_in_standard_errors() -> None:
    curves = [
        Curve("fp32", 1, [9.0, 1.0]),
        Curve("bf16", 1, [9.0, 4.0]),
        Curve("fp32", 2, [7.0, 3.0]),
        Curve("bf16", 2, [7.0, 8.0]),
    ]
    first, second = compare(curves)
    assert first["apart"] == 0.0
    assert (second["fp32"], second["bf16"]) == (2.0, 6.0)
    assert (second["bf16 from"], second["bf16 to"]) == (4.0, 8.0)
    # Variances 2 and 8, of means of two: 1 and 4.
    assert second["apart"] == float(f"{4 / math.sqrt(5):.4g}")
