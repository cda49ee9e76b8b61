"""DLKD: a component zoo and ablation harness for visual anomaly detection."""

from dlkd.registry import create_model, list_components, list_variants, load_registry, register

__version__ = "0.1.0"
__all__ = ["create_model", "list_components", "list_variants", "load_registry", "register"]
