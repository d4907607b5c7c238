"""The demo: an uninstrumented chain of real programs in a throw-away guest, and zerospan beside them (`make demo`)."""
