"""
What a server tells and does for operators, and what the servers that share rooms ask one another for them.
"""
