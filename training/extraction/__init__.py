"""Frozen features: one function that takes them, in this process or in the executors of a Spark cluster."""
