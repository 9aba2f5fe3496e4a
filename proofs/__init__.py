"""What proves the promises: whole pipelines run for real, elsewhere, and killed."""
