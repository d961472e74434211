"""Watch a show from outside: charts of what comes in, with a contract on false alerts."""
