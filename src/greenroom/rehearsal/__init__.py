"""Try what may go on stage before it does: on recorded shows and on takes that nobody was trained on."""
