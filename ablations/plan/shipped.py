"""Names of the grids that come with the package: `dlkd list` shows them without what reads them."""

import importlib.resources


def shipped_grids() -> list[str]:
    """Names of the grids that come with the package."""
    folder = importlib.resources.files("dlkd.ablations").joinpath("grids")
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))
