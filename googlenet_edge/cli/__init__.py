"""The command line: each verb parses its arguments, makes one library call and prints the result."""
