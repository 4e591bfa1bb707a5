"""A page to play on: one home and perhaps a policy, in a browser (`llarp play --web`)."""
