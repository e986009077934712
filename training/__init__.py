"""From labelled films to a bundle: manifest, features, head, finetune, evaluate, threshold, export, publish.

Uses ``model`` for everything that serving does too; never meets ``services``.
"""

import model  # noqa: F401 - first, because it keeps onnxruntime from reporting to its maker
