"""A store in a bucket: objects by path, and the working copy on this disk of what is read and written as files."""
