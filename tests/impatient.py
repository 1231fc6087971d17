"""`pipeline.tune` to which a worker that is silent for seconds is dead, in all its processes."""

from pipeline.base.cli import run
from pipeline.search import storage

# Workers import this file, too, as the program that started them.
storage.HEARTBEAT_SECONDS, storage.GRACE_SECONDS = 1, 8

if __name__ == "__main__":
    from pipeline.tune import main

    run(main)
