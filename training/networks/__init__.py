"""The torch networks: backbones, the layers under the logits, what logits mean, and weights from files."""
