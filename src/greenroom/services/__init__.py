"""What the commands, the page and the HTTP API all call."""
