"""Which processes are traced, and what is known of each: who it is, what it runs on, what cannot be seen in it."""
