"""The small speech LLM the project ships: its grammar, its voices, its training recipe, weights and validation data."""
