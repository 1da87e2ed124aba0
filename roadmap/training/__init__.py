"""One run: from a frozen configuration to a result."""
