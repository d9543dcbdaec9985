"""All that crosses between the edge, which holds a client's socket, and the owner, which runs a room."""
