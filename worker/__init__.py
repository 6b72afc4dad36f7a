"""Write side: request → fetch → decide → append → relay."""
