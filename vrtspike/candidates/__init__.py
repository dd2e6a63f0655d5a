"""The catalogue of cheaper configs. Nothing here imports torch.

A :class:`Candidate` is one change of a config that may make its training or its restoring cheaper. The advice of
``analyze_logs``, the fitting after out-of-memory errors (``auto_fit=True``) and the search of ``tools/optimize.py`` all
choose from this catalogue.
"""

from vrtspike.candidates.candidate import CHANGES, EXACT, KINDS, PRECISION, Candidate, Overrides, Purpose
from vrtspike.candidates.catalogue import catalogue
from vrtspike.candidates.setting import Setting

__all__ = ['CHANGES', 'EXACT', 'KINDS', 'PRECISION', 'Candidate', 'Overrides', 'Purpose', 'Setting', 'catalogue']
