"""Trained networks in use: loaded, asked about images, exported."""
