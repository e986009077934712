"""Figures from labels and scores: thresholds with certificates, intervals, rivals. Arithmetic; no network, no plots."""
