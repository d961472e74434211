"""Judge models on recordings: against floors, with intervals, before anybody approves them."""
