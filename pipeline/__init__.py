"""Commands and their side effects: files, DVC, MLflow, Optuna, pictures."""

import sys
from pathlib import Path

# A queued DVC experiment runs in a clone of its own and must import its own code, which an
# installed package would shadow.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
