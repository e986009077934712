"""From a trained network to the ONNX graphs that can ship: what they answer, how close they are, which one goes."""
