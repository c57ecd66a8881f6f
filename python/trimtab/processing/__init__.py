"""What stands before and after a model: pictures, sounds, classes."""
