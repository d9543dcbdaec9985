"""An application that type checkers look at."""
