"""The running system: gateway, worker, the queue between them, and the command line that starts them."""
