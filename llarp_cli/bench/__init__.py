"""`llarp bench`: the speed of rollouts, updates and whole training, beside the reference release's way of working."""
