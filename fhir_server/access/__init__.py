"""Who is asking, and what may they see: an actor becomes a Visibility."""
