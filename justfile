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

# Allocators, keys and regions against random input, 40 times as often as in the tests.
random cases="10240":
    PROPTEST_CASES={{cases}} cargo test --workspace --lib -- npy::region graph_key codec::shuffle scratch::extents chest::table

# Real engines on random graphs, bounds, threads and failures.
runs:
    CHUNKSTORE_TEST_CASES=10000 cargo test --workspace --test random_runs

# Everything that decodes bytes from disk, so many seconds each; or only the targets that are named.
fuzz seconds="8" *targets:
    tools/fuzz/run {{seconds}} {{targets}}

# Modules with unsafe code, under AddressSanitizer.
asan:
    .ci/sanitize

# The long runs: thousands of processes that are killed, thousands of disks as a loss of power leaves them.
crash:
    cargo test --release -p chunkstore-store --test kill --test power_loss -- --ignored

# The binaries, in `target/release`.
build:
    cargo build --release --workspace --bins

# Orders of two recorded task graphs and of one of a million tasks, on one line each.
order: build
    target/release/workloads order tests/data/graphs/transpose_add_2d.json
    target/release/workloads order tests/data/graphs/svd_compressed.json --memory 4000000
    target/release/workloads order --made transpose:1000000

# 512 MiB through 128 MiB.
demo: build
    target/release/chunkstore demo --size 512MiB --memory 128MiB

# Group-bys of 20 GiB of records within 1 GiB, also with a key that has 60 % of the rows, and killed ten times. It takes half an hour and 40 GiB of disk.
large size="20GiB" kills="10": build
    tools/large/bag_groupby --size {{size}}
    tools/large/bag_groupby --size {{size}} --skew 60
    tools/large/bag_groupby --size {{size}} --kill {{kills}}
