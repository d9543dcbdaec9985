"""Declared state on the wire of Colyseus: @colyseus/schema, as its versions 3, 4 and 5 read it."""

from .encoding import SchemaEncoding

__all__ = ["SchemaEncoding"]
