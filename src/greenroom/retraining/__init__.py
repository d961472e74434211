"""From an alert, a schedule or a person to a better release on stage, or a reason why not."""
