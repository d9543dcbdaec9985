"""The end of a room connection that holds a client's socket."""
