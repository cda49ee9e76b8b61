"""DLKD: a component zoo and ablation harness for visual anomaly detection."""

from dlkd.machine import prepare

prepare()  # before PyTorch is loaded

from dlkd.registry import create_model, list_components, list_variants, load_registry, register  # noqa: E402

__version__ = "0.1.0"
__all__ = ["create_model", "list_components", "list_variants", "load_registry", "register"]
