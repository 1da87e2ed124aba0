"""Many runs: plan, start and watch them. Nothing here imports torch at module level; training is a process."""
