"""The event collector: takes what clients report as seen and done, and keeps what training needs of it."""
