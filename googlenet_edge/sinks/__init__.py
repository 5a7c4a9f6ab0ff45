"""Where results go: the terminal, JSON lines, an annotated video, a window. All follow one small Protocol."""
