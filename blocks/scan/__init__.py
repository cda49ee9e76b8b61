"""Selective scan: the recurrence of Mamba in several backends, and the orders in which it reads a map."""

from dlkd.blocks.scan.directional import directional_scan
from dlkd.blocks.scan.orders import ScanOrder, curve_count, scan_curves
from dlkd.blocks.scan.selective import backends, require_backend, selective_scan

__all__ = [
    "ScanOrder",
    "backends",
    "curve_count",
    "directional_scan",
    "require_backend",
    "scan_curves",
    "selective_scan",
]
