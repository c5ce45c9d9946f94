//! Rule files: from YAML text to [`Rule`](super::Rule)s, with errors that say file, line, column and what was expected.
