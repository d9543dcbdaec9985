"""
For operators and back ends: a listener of its own, who may use it, and the HTTP API.
"""
