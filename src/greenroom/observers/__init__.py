"""What watches a show from outside: drift, model health, capture buffer, page, metrics."""
