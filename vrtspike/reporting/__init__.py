"""Tables, plots, strips of images and HTML pages."""
