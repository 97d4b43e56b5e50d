//! Prompts as files: Dotprompt, strict checks, version closure and digest, the project file.
