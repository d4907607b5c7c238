"""Connections: sockets seen from one process, from their bytes to exchanges. Sans-IO."""
