"""What a screen is made of, one file per widget."""
