"""Networks written in words."""
