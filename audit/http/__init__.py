"""HTTP routes that need the past and the present: reports, reasons, requests, and the page."""
