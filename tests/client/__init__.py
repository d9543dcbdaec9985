"""Tests of `txroom.client`."""
