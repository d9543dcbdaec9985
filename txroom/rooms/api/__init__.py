"""The classes with which users write rooms."""
