"""Images and labels: fetched, held in memory, augmented in batches."""
