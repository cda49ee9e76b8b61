"""The code behind a result: the files that make it, found from their import statements, and what each of them says.

Nothing is run and nothing is imported for it.
"""

from dlkd.source_code.own import ROOT, file_behind, own_sources
from dlkd.source_code.statements import meaning
from dlkd.source_code.theirs import sources

__all__ = ["ROOT", "file_behind", "meaning", "own_sources", "sources"]
