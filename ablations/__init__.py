"""Runs grids of trials and reports what they show."""

import logging
import os

# Ray Tune reads these when it is imported: our own display takes the place of its output, and a result's sync
# to disk costs more than a small cell.
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_RESULT_BUFFER_LENGTH", "0")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Tune would take Ctrl-C for a normal end
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "1e9")  # its own state is never read, see `run.ray_training`
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

# In a notebook it would ask for ipywidgets, which our own display has no use for.
logging.getLogger("ray.widgets.util").setLevel(logging.WARNING)
