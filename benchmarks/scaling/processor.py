"""Processor time, which a busy machine lengthens by less than the time that passes."""

import contextlib

import psutil


def processor_seconds(process: int) -> float:
    """Of a process and all that it started, whether they still run or have ended."""
    parent = psutil.Process(process)
    total = 0.0
    for one in (*parent.children(recursive=True), parent):
        with contextlib.suppress(
            psutil.NoSuchProcess
        ):  # it ended just now; its parent has its time
            times = one.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total
