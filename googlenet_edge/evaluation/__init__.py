"""How accurate a bundle is on labelled images: reading the set, and counting what was right."""
