"""From the user's words to one typed, checked Run; nothing here imports torch."""
