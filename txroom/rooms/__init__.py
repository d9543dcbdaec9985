"""The right wing: what messages mean. Rooms, their members, and the protocol by which they are reached."""
