"""What users write rooms with."""
