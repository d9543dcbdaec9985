"""The owner of a room: it runs the room, and never touches a socket."""
