"""The foundation of all other packages: codes, options, handshakes, connections and applications."""
