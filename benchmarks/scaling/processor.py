"""Processor time, which a busy machine lengthens by less than the time that passes."""

import psutil


def processor_seconds(process: int) -> float:
    """Of a process and all that it started, whether they still run or have ended."""
    parent = psutil.Process(process)
    total = 0.0
    for one in (parent, *parent.children(recursive=True)):
        times = one.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total
