"""What everything else stands on: codes, options, handshakes, connections and applications."""
