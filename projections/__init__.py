"""Read side: log → read models → queries."""
