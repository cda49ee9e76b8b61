"""Selective scan: the recurrence of Mamba in several backends, and the orders in which it reads a map."""

from dlkd.blocks.scan.backend import Limits, backends, require_backend, runs_on
from dlkd.blocks.scan.directional import directional_scan
from dlkd.blocks.scan.inputs import ScanInputs
from dlkd.blocks.scan.orders import ScanOrder, curve_count, forget_curves, scan_curves
from dlkd.blocks.scan.selective import selective_scan

__all__ = [
    "Limits",
    "ScanInputs",
    "ScanOrder",
    "backends",
    "curve_count",
    "directional_scan",
    "forget_curves",
    "require_backend",
    "runs_on",
    "scan_curves",
    "selective_scan",
]
