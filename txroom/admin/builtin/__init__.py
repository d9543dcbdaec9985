"""
The calls that every server has; see `txroom.admin.calls`.
"""
