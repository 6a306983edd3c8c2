"""The terminal app: views of run folders. Imports paper and ground only; holds no truth and does no work."""
