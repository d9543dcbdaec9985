"""Tests of `txroom.loadtest`."""
