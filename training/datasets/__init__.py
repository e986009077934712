"""Readers of labelled film collections, and the split of their patients. Opens tables, never pixels."""

from training.datasets.sample import Part, Sample

__all__ = ["Part", "Sample"]
