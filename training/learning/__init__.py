"""How a network learns: the network, its films and losses, the optimisation loop, and what survives a kill."""
