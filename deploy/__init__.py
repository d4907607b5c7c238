"""Setting up: packages and environment (setup.sh), a throw-away guest (guest.py), the system service."""
