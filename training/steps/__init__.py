"""One file a step, in the order of ``training.line``. Steps exchange files through ``RunDirectory``, never imports."""
