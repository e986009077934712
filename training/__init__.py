"""From labelled films to a bundle: manifest, features, head, finetune, evaluate, threshold, export, publish.

Uses ``model`` for everything that serving does too; never meets ``services``.
"""
