"""What people look at: tables, plots, strips of images, and HTML pages."""
