"""Tests of txroom.client."""
