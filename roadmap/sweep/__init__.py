"""Many runs and what they say together. Nothing here imports torch: training is reached by starting processes."""
