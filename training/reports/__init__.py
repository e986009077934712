"""The five published systems that this product replaces: what each printed, what follows from it, and ours beside."""
