"""One command for each published figure (``make bench-training``). On demand; nothing here asserts a duration."""
