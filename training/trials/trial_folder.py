"""What a trial leaves in its folder, by file."""

SPEC = "trial.yaml"
RESULT = "result.json"
"""Written last: a folder with one is a whole trial."""

LAST = "last.ckpt"
WEIGHTS = "weights.safetensors"
EXAMPLES = "examples.npz"
"""Test images with their anomaly maps, see `kept_images`."""

THRESHOLDS = "thresholds.json"
"""Alarm thresholds that were chosen after the training, see `kept_thresholds`."""

INFLUENCES = "influences.npy"
"""Influence of each test image on the metrics, see `kept_influences`."""
