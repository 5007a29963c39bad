"""Many jobs: what they are before they begin, and what came of them. Imports no torch."""
