# The menu. What a recipe does stands in `xtask` or in cargo, so nothing here needs just.

_menu:
    @just --list --unsorted

# The story: a bad prompt change is rolled back, a good one promoted
demo:
    cargo run --release -- demo

# Everything that needs the Rust toolchain alone; before a commit
test:
    cargo xtask test

# Everything; before a merge, and what CI runs
test-full:
    cargo xtask test --full

# What CI runs, as CI runs it
ci:
    .ci/run

# Formats the code
fmt:
    cargo fmt --all

# Clippy, with warnings as errors
lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Crate edges, sizes, documents, generated files
tidy:
    cargo xtask tidy

# Writes the generated files: schemas, price table, error table, command line reference
gen:
    cargo build --package bowline
    cargo xtask gen --bowline target/debug/bowline

# Accepts or rejects changed snapshots (needs cargo-insta)
snap:
    cargo insta review

# The corpora of recorded cases
conformance *options:
    cargo xtask conformance {{options}}

# Licences, sources and banned crates (needs cargo-deny; `test-full` installs its own)
deny:
    cargo deny check bans licenses sources

# The tour of the README, with a fresh build
tour:
    cargo build --package bowline
    cargo xtask tour --bowline target/debug/bowline

# Bowline's own container image, run under runc
image *options:
    cargo xtask image {{options}}

# The gateway against direct calls and a bare proxy
bench-gateway *options:
    cargo xtask bench gateway {{options}}

# Kills under traffic, and a soak among failures
chaos *options:
    cargo xtask chaos {{options}}

# The canary engine: error rates and speed
bench-canary *options:
    cargo run --release --package xtask -- bench canary {{options}}

# Format and tidy before each commit
hooks:
    git config core.hooksPath .githooks
