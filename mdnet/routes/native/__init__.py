"""Native code for dense networks on a CPU: the gradient of a replica, and its steps, while it lies in the cache."""
