"""Several nodes, as processes, on one Redis; clients on each; and what goes wrong with them."""
