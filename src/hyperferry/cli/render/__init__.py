"""Dataclasses to text for people, and to the stable JSON. Nothing here prints or asks a server."""
