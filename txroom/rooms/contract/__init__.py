"""The contract between edges, which hold the clients' sockets, and owners, which run the rooms."""
