"""Policies side by side: their success with intervals, what they needed for it, and studies of several runs."""
