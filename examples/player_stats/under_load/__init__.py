"""The application under HTTP load through a whole rollout: `python -m under_load`."""
