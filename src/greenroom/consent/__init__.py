"""Who is in a recording, what they allowed, and the gate that every use passes."""
