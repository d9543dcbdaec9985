"""
Several worker processes on one machine: the parent process that starts them, and the store that they share.
"""
