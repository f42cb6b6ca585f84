# One recipe for each check of `.ci/run`, with the same commands.

# Every check, as it runs before a change is taken.
all:
    .ci/run

# All tests, among them the doc tests and the programs in the README.
test:
    cargo test --workspace

# The layout of the code.
fmt:
    cargo fmt --all --check

# Warnings of the compiler and of clippy.
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# The documentation: no broken link, nothing public without a word.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Decoders and allocators against random input, 100 times as often as in the tests.
fuzz cases="25600":
    PROPTEST_CASES={{cases}} cargo test --workspace --lib -- npy::header npy::region graph_key serial chunk::header codec::shuffle scratch::extents chest::table

# A child process that spills is killed, and the next one sweeps what it left.
crash:
    for n in 1 2 3 4 5 6 7 8 9 10; do cargo test --workspace --test killed || exit 1; done
    for n in 1 2 3; do cargo test --workspace --test crash || exit 1; done

# The binaries, in `target/release`.
build:
    cargo build --release --workspace --bins

# Orders of two task graphs, on one line each.
order: build
    target/release/workloads order tests/data/graphs/transpose_add_2d.json
    target/release/workloads order tests/data/graphs/svd_compressed.json --memory 4000000

# 512 MiB through 128 MiB.
demo: build
    target/release/chunkstore demo --size 512MiB --memory 128MiB
