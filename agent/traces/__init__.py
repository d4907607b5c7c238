"""From exchanges to spans that have their place in a trace. Sans-IO."""
