"""Tests of txroom.loadtest."""
