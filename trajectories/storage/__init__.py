"""The H5MD file: its layout, the writer on its own thread, and the reader that fetches only what is asked for."""
