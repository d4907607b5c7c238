"""What can be read from executables and libraries on disk."""
