"""One command for each published figure (``make bench-training``). On demand; nothing here asserts a duration."""

import model  # noqa: F401  # first: switches off the reports of every onnxruntime that is imported or started after it
